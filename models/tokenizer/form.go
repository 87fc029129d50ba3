package tokenizer

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// longRun is the number of marks in a row from which golang.org/x/text might
// break them up with U+034F, as its stream-safe form asks (UAX 15, D4: more than
// 30, after decomposition).
const longRun = 8

// form is a normal form of s (UAX 15). Characters that the library does not know
// yet stand as they are, and part what is around them.
func form(f norm.Form, s string) string {
	if f.IsNormalString(s) && len(s) <= longRun {
		return s
	}
	var out strings.Builder
	from, run, long, marked := 0, 0, false, false
	flush := func(to int) {
		switch {
		case from == to:
		case long:
			out.WriteString(unbroken(f, s[from:to]))
		default:
			out.WriteString(f.String(s[from:to]))
		}
		run, long = 0, false
	}
	for i, r := range s {
		if r < 0x300 {
			run = 0
			continue
		}
		if unicode.Is(newForm, r) {
			marked = true
			flush(i)
			out.WriteRune(r)
			from = i + len(string(r))
			continue
		}
		if run++; !unicode.IsMark(r) {
			run = 0
		}
		long = long || run > longRun
	}
	if from == 0 && !marked && !long {
		return f.String(s)
	}
	flush(len(s))
	return out.String()
}

// unbroken is a normal form without a limit to the marks in a row.
func unbroken(f norm.Form, s string) string {
	parts := norm.NFD
	if f == norm.NFKC || f == norm.NFKD {
		parts = norm.NFKD
	}
	type marked struct {
		r     rune
		class uint8
	}
	var all []marked
	for _, r := range s {
		for _, d := range parts.String(string(r)) {
			all = append(all, marked{d, norm.NFD.PropertiesString(string(d)).CCC()})
		}
	}
	for i := 0; i < len(all); {
		if all[i].class == 0 {
			i++
			continue
		}
		to := i
		for to < len(all) && all[to].class != 0 {
			to++
		}
		slices.SortStableFunc(all[i:to], func(a, b marked) int { return int(a.class) - int(b.class) })
		i = to
	}
	if f == norm.NFC || f == norm.NFKC {
		kept := all[:0]
		starter := -1 // the place in kept of what marks join
		last := uint8(0)
		for _, m := range all {
			if starter >= 0 && (last < m.class || starter == len(kept)-1) {
				pair := []rune(norm.NFC.String(string([]rune{kept[starter].r, m.r})))
				if len(pair) == 1 {
					kept[starter].r = pair[0]
					continue
				}
			}
			if last = m.class; m.class == 0 {
				starter = len(kept)
			}
			kept = append(kept, m)
		}
		all = kept
	}
	var out strings.Builder
	for _, m := range all {
		out.WriteRune(m.r)
	}
	return out.String()
}
