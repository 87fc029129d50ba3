package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// isSpace is Unicode's White_Space, as char::is_whitespace has it.
func isSpace(r rune) bool { return unicode.Is(unicode.White_Space, r) }

// isWord is \w of Unicode's regular expressions (UTS 18, annex C).
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '_' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z'
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}

// isPunctuation counts all of ASCII's signs, also those that are symbols to
// Unicode ($, +, <, ^, `), as BERT does.
func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return '!' <= r && r <= '/' || ':' <= r && r <= '@' || '[' <= r && r <= '`' || '{' <= r && r <= '~'
	}
	return unicode.Is(unicode.P, r) && !unicode.Is(newPunctuation, r) || unicode.Is(oldPunctuation, r)
}

// isControl is what BERT drops: category C without the white space.
func isControl(r rune) bool {
	switch r {
	case '\t', '\n', '\r':
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co) && !unicode.Is(newControl, r)
}

// isIdeograph is BERT's notion of a Chinese character: the blocks of unified
// and compatibility ideographs.
func isIdeograph(r rune) bool {
	return 0x4E00 <= r && r <= 0x9FFF || 0x3400 <= r && r <= 0x4DBF ||
		0x20000 <= r && r <= 0x2A6DF || 0x2A700 <= r && r <= 0x2B73F ||
		0x2B740 <= r && r <= 0x2B81F || 0x2B920 <= r && r <= 0x2CEAF ||
		0xF900 <= r && r <= 0xFAFF || 0x2F800 <= r && r <= 0x2FA1F
}

// isNonspacing is category Mn, what BERT calls an accent.
func isNonspacing(r rune) bool {
	return r >= 0x300 && (unicode.Is(unicode.Mn, r) && !unicode.Is(newNonspacing, r) || unicode.Is(oldNonspacing, r))
}

// isMark is category M.
func isMark(r rune) bool {
	return r >= 0x300 && (unicode.IsMark(r) && !unicode.Is(newMark, r) || unicode.Is(oldMark, r))
}
