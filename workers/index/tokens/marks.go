package tokens

import (
	"cmp"
	"slices"
	"strings"
)

// Beside is the ranges of a, and those of b that overlap none of them, in
// order.
func Beside(a, b []Range) []Range {
	all := slices.Clone(a)
	for _, r := range b {
		if !slices.ContainsFunc(a, func(s Range) bool { return r.Start < s.End && s.Start < r.End }) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(r, s Range) int { return cmp.Compare(r.Start, s.Start) })
	return all
}

// Mark puts open and close around ranges of a text, which must be in order and
// not overlap.
func Mark(text string, ranges []Range, open, close string) string {
	if open == "" && close == "" {
		return text
	}
	var b strings.Builder
	at := 0
	for _, r := range ranges {
		b.WriteString(text[at:r.Start])
		b.WriteString(open)
		b.WriteString(text[r.Start:r.End])
		b.WriteString(close)
		at = r.End
	}
	b.WriteString(text[at:])
	return b.String()
}

// excerptBytes is about how much of a description a hit shows.
const excerptBytes = 240

const ellipsis = "…"

// Excerpt cuts a text to what surrounds the first of the ranges, at spaces
// where it has some, with an ellipsis for what it cut. It returns the ranges
// that are left, where they are in the excerpt.
func Excerpt(text string, ranges []Range) (string, []Range) {
	if len(text) <= excerptBytes {
		return text, ranges
	}
	start := 0
	if len(ranges) > 0 {
		start = max(0, ranges[0].Start-excerptBytes/3)
	}
	end := min(len(text), start+excerptBytes)
	start, end = boundary(text, start), boundary(text, end)
	if start > 0 {
		if i := strings.IndexByte(text[start:end], ' '); i >= 0 && i < excerptBytes/6 {
			start += i + 1
		}
	}
	if end < len(text) {
		if i := strings.LastIndexByte(text[start:end], ' '); i > end-start-excerptBytes/6 {
			end = start + i
		}
	}
	cut, shift := text[start:end], -start
	if start > 0 {
		cut, shift = ellipsis+cut, len(ellipsis)-start
	}
	if end < len(text) {
		cut += ellipsis
	}
	var left []Range
	for _, r := range ranges {
		if r.Start >= start && r.End <= end {
			left = append(left, Range{r.Start + shift, r.End + shift})
		}
	}
	return cut, left
}

// boundary moves an offset back to where a character begins.
func boundary(text string, at int) int {
	for at > 0 && at < len(text) && text[at]&0xC0 == 0x80 {
		at--
	}
	return at
}
