package tokenizer

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// charsmap is sentencepiece's compiled normalisation: a double-array trie
// (darts-clone) from sequences of characters to offsets in a table of
// replacements, each ended by a zero byte.
type charsmap struct {
	units   []uint32
	replace string
}

func readCharsmap(b []byte) (charsmap, error) {
	if len(b) < 4 {
		return charsmap{}, errors.New("it ends before its trie")
	}
	size := int(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if size%4 != 0 || size > len(b) || size == 0 {
		return charsmap{}, errors.New("its trie is longer than it is, or is none")
	}
	m := charsmap{units: make([]uint32, size/4), replace: string(b[size:])}
	for i := range m.units {
		m.units[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return m, nil
}

// shortest is the replacement of the shortest sequence in the trie that s
// begins with. (The library takes the shortest too, where sentencepiece
// itself takes the longest.)
func (m charsmap) shortest(s string) (string, bool) {
	at := unitOffset(m.units[0])
	for i := range len(s) {
		if s[i] == 0 {
			return "", false
		}
		at ^= uint32(s[i])
		if int(at) >= len(m.units) {
			return "", false
		}
		unit := m.units[at]
		if unit&(1<<31|0xFF) != uint32(s[i]) {
			return "", false
		}
		at ^= unitOffset(unit)
		if unit>>8&1 == 0 {
			continue
		}
		if int(at) >= len(m.units) {
			return "", false
		}
		from := int(m.units[at] &^ (1 << 31))
		if from > len(m.replace) {
			return "", false
		}
		text, _, _ := strings.Cut(m.replace[from:], "\x00")
		return text, true
	}
	return "", false
}

func unitOffset(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }

// apply replaces graphemes of up to five bytes whole, the rest character by
// character.
func (m charsmap) apply(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for g := graphemes.FromString(s); g.Next(); {
		cluster := g.Value()
		if len(cluster) < 6 {
			if to, ok := m.shortest(cluster); ok {
				b.WriteString(to)
				continue
			}
		}
		for _, r := range cluster {
			if to, ok := m.shortest(string(r)); ok {
				b.WriteString(to)
			} else {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}
