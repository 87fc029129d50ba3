package tokenizer

import (
	"errors"
	"strings"
)

// wordClass is \w between brackets, as Oniguruma has it (UTS 18, annex C). By
// itself it has the numbers of Latin-1 too.
const (
	wordClass    = `\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\u24B6-\u24E9` + "\U0001F130-\U0001F149\U0001F150-\U0001F169\U0001F170-\U0001F189"
	latinNumbers = `\u00B2\u00B3\u00B9\u00BC-\u00BE`
)

// translated writes an expression of Oniguruma, which the library runs, for
// regexp2. The two read most the same; what they would read otherwise is an
// error.
func translated(re string) (string, error) {
	var out strings.Builder
	inClass, quantified := false, false
	for i := 0; i < len(re); i++ {
		c := re[i]
		before := quantified
		quantified = false
		switch {
		case c == '\\' && i+1 < len(re):
			i++
			switch {
			case re[i] == 'w' && inClass:
				out.WriteString(wordClass)
			case re[i] == 'w':
				out.WriteString("[" + wordClass + latinNumbers + "]")
			case re[i] == 'W' && !inClass:
				out.WriteString("[^" + wordClass + latinNumbers + "]")
			case strings.IndexByte("WbBhHRXKGZAzCM", re[i]) >= 0:
				return "", errors.New(`\` + re[i:i+1] + " is not supported here")
			default:
				out.WriteString(re[i-1 : i+1])
			}
			continue
		case inClass && c == '[':
			return "", errors.New("a class in brackets inside another is not supported: write one class")
		case inClass && c == '&' && strings.HasPrefix(re[i:], "&&"):
			return "", errors.New("intersections of classes (&&) are not supported")
		case inClass:
			inClass = c != ']'
		case c == '[':
			inClass = true
		case strings.HasPrefix(re[i:], "(?"):
			// Options: what Oniguruma calls m (a dot is any character) is s here.
			n := 2 + len(re[i+2:]) - len(strings.TrimLeft(re[i+2:], "imx-"))
			out.WriteString(strings.ReplaceAll(re[i:i+n], "m", "s"))
			i += n - 1
			continue
		case c == '+' && before:
			return "", errors.New("possessive quantifiers (++, *+, ?+) are not supported: write (?>…)")
		case c == '+' || c == '*' || c == '?':
			quantified = !strings.HasSuffix(re[:i], "(")
		}
		out.WriteByte(c)
	}
	return out.String(), nil
}
