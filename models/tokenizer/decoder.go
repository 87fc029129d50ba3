package tokenizer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decoder rewrites a row of tokens so that joined they are a text.
type decoder interface {
	decode(tokens []string) []string
}

type decoderFunc func([]string) []string

func (f decoderFunc) decode(tokens []string) []string { return f(tokens) }

type decoders []decoder

func (d decoders) decode(tokens []string) []string {
	for _, step := range d {
		tokens = step.decode(tokens)
	}
	return tokens
}

// perToken rewrites each token by itself; i is its place.
func perToken(f func(i int, token string) string) decoderFunc {
	return func(tokens []string) []string {
		for i, token := range tokens {
			tokens[i] = f(i, token)
		}
		return tokens
	}
}

func readDecoder(b json.RawMessage, path string) (decoder, error) {
	if absent(b) {
		return nil, nil
	}
	name, err := kind(b, path)
	if err != nil {
		return nil, err
	}
	switch name {
	case "Sequence":
		c, err := component[struct {
			Decoders []json.RawMessage `json:"decoders"`
		}](b, path)
		all := decoders{}
		for i, inner := range c.Decoders {
			d, err := readDecoder(inner, fmt.Sprintf("%s.decoders[%d]", path, i))
			if err != nil {
				return nil, err
			}
			if d != nil {
				all = append(all, d)
			}
		}
		return all, err
	case "ByteLevel":
		_, err := component[byteLevel](b, path)
		return decoderFunc(func(tokens []string) []string {
			var bytes []byte
			for _, token := range tokens {
				spelled := Bytes(token)
				if spelled == nil {
					spelled = []byte(token)
				}
				bytes = append(bytes, spelled...)
			}
			return []string{Text(bytes)}
		}), err
	case "WordPiece":
		return readWordPieceDecoder(b, path)
	case "Metaspace":
		m, err := readMetaspace(b, path)
		if err != nil {
			return nil, err
		}
		return perToken(func(i int, token string) string {
			to := " "
			if i == 0 && m.prepend != "never" {
				to = ""
			}
			return strings.ReplaceAll(token, m.replacement, to)
		}), nil
	case "BPEDecoder":
		c, err := component[struct {
			Suffix string `json:"suffix"`
		}](b, path)
		return decoderFunc(func(tokens []string) []string {
			for i, token := range tokens {
				to := " "
				if i == len(tokens)-1 {
					to = ""
				}
				tokens[i] = strings.ReplaceAll(token, c.Suffix, to)
			}
			return tokens
		}), err
	case "ByteFallback":
		return decoderFunc(joinBytes), nil
	case "Fuse":
		return decoderFunc(func(tokens []string) []string { return []string{strings.Join(tokens, "")} }), nil
	case "Strip":
		c, err := component[struct {
			Content character `json:"content"`
			Start   int       `json:"start"`
			Stop    int       `json:"stop"`
		}](b, path)
		return perToken(func(_ int, token string) string {
			for range c.Start {
				token = strings.TrimPrefix(token, string(rune(c.Content)))
			}
			for range c.Stop {
				token = strings.TrimSuffix(token, string(rune(c.Content)))
			}
			return token
		}), err
	case "Replace":
		replace, err := readReplace(b, path)
		return perToken(func(_ int, token string) string { return replace(token) }), err
	case "CTC":
		return readCTC(b, path)
	}
	return nil, unknown(path, "decoder", name, "Sequence", "ByteLevel", "WordPiece", "Metaspace", "BPEDecoder", "ByteFallback", "Fuse", "Strip", "Replace", "CTC")
}

// tidy undoes the spaces that cutting at punctuation has left.
var tidy = []*strings.Replacer{
	strings.NewReplacer(" .", "."), strings.NewReplacer(" ?", "?"), strings.NewReplacer(" !", "!"),
	strings.NewReplacer(" ,", ","), strings.NewReplacer(" ' ", "'"), strings.NewReplacer(" n't", "n't"),
	strings.NewReplacer(" 'm", "'m"), strings.NewReplacer(" do not", " don't"), strings.NewReplacer(" 's", "'s"),
	strings.NewReplacer(" 've", "'ve"), strings.NewReplacer(" 're", "'re"),
}

func tidied(s string) string {
	for _, r := range tidy {
		s = r.Replace(s)
	}
	return s
}

func readWordPieceDecoder(b json.RawMessage, path string) (decoder, error) {
	c, err := component[struct {
		Prefix  string `json:"prefix"`
		Cleanup bool   `json:"cleanup"`
	}](b, path)
	return perToken(func(i int, token string) string {
		if i > 0 {
			if rest, inside := strings.CutPrefix(token, c.Prefix); inside {
				token = rest
			} else {
				token = " " + token
			}
		}
		if c.Cleanup {
			token = tidied(token)
		}
		return token
	}), err
}

// readCTC reads the decoder of wav2vec2: repeats and blanks go.
func readCTC(b json.RawMessage, path string) (decoder, error) {
	c, err := component[struct {
		Pad       string `json:"pad_token"`
		Delimiter string `json:"word_delimiter_token"`
		Cleanup   bool   `json:"cleanup"`
	}](b, path)
	return decoderFunc(func(tokens []string) []string {
		var kept []string
		for i, token := range tokens {
			if i > 0 && token == tokens[i-1] {
				continue
			}
			said := strings.ReplaceAll(token, c.Pad, "")
			if c.Cleanup {
				said = strings.ReplaceAll(tidied(said), c.Delimiter, " ")
			}
			if said != "" {
				kept = append(kept, said)
			}
		}
		return kept
	}), err
}

// joinBytes makes characters of tokens <0xXX>; those that are none are U+FFFD
// each.
func joinBytes(tokens []string) []string {
	var out []string
	var bytes []byte
	flush := func() {
		switch {
		case len(bytes) == 0:
		case utf8.Valid(bytes):
			out = append(out, string(bytes))
		default:
			for range bytes {
				out = append(out, "\uFFFD")
			}
		}
		bytes = bytes[:0]
	}
	for _, token := range tokens {
		if len(token) == 6 && strings.HasPrefix(token, "<0x") && token[5] == '>' {
			if b, err := strconv.ParseUint(token[3:5], 16, 8); err == nil {
				bytes = append(bytes, byte(b))
				continue
			}
		}
		flush()
		out = append(out, token)
	}
	flush()
	return out
}
