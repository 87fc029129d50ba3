package asr

import (
	"encoding/json"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/earshot-fm/earshot/models"
)

// pieceSpace is the mark that SentencePiece puts where a word begins.
const pieceSpace = "▁"

// Vocabulary is what the classes of a recogniser's output spell: characters
// with a token between words, or pieces that say where a word begins.
type Vocabulary struct {
	tokens    []string // by class; "" where a class spells nothing
	special   []bool   // <s>, <unk>, [PAD], …: never in the text
	blank     int
	delimiter int // the token between words; -1: pieces begin words with ▁
}

// vocabularyFiles are where a model's vocabulary may be, by preference.
var vocabularyFiles = []string{"vocab.json", "tokens.txt", "vocab.txt", "tokenizer.json"}

// LoadVocabulary reads the vocabulary among a model's files: vocab.json
// (transformers: token to class), tokens.txt or vocab.txt (NeMo and sherpa:
// "token class" a line, or one token a line), or tokenizer.json (a Unigram or
// BPE model's pieces). blank names the class that spells nothing: "first",
// "last", a token of the file, or "" for the file's own (<pad>, <blk>, …), else
// the class after the file's last.
func LoadVocabulary(m *models.Model, blank string) (*Vocabulary, error) {
	for _, name := range vocabularyFiles {
		if _, ok := m.Manifest.Files[name]; !ok {
			continue
		}
		b, err := m.Read(name)
		if err != nil {
			return nil, err
		}
		v, err := readVocabulary(name, b, blank)
		if err != nil {
			return nil, fmt.Errorf("asr: read the vocabulary %s: %w", name, err)
		}
		return v, nil
	}
	return nil, fmt.Errorf("asr: no vocabulary among the model's files (want one of %s)", strings.Join(vocabularyFiles, ", "))
}

func readVocabulary(name string, b []byte, blank string) (*Vocabulary, error) {
	var classes map[string]int
	var err error
	switch {
	case path.Base(name) == "tokenizer.json":
		classes, err = tokenizerClasses(b)
	case strings.HasSuffix(name, ".json"):
		err = json.Unmarshal(b, &classes)
	default:
		classes, err = lineClasses(string(b))
	}
	if err != nil {
		return nil, err
	}
	return newVocabulary(classes, blank)
}

// mostClasses bounds what a vocabulary's file may ask for.
const mostClasses = 1 << 20

func newVocabulary(classes map[string]int, blank string) (*Vocabulary, error) {
	last := -1
	for token, class := range classes {
		if class < 0 || class >= mostClasses {
			return nil, fmt.Errorf("token %q has class %d, want 0 to %d", token, class, mostClasses-1)
		}
		last = max(last, class)
	}
	if last < 0 {
		return nil, fmt.Errorf("it has no tokens")
	}
	v := &Vocabulary{blank: -1, delimiter: -1}
	if blank == "last" && !hasBlank(classes, last) || blank == "" && findBlank(classes) < 0 {
		last++
	}
	v.tokens, v.special = make([]string, last+1), make([]bool, last+1)
	for token, class := range classes {
		if v.tokens[class] != "" {
			return nil, fmt.Errorf("tokens %q and %q have one class, %d", token, v.tokens[class], class)
		}
		v.tokens[class], v.special[class] = token, isSpecial(token)
	}
	switch blank {
	case "first":
		v.blank = 0
	case "last":
		v.blank = last
	case "":
		if v.blank = findBlank(classes); v.blank < 0 {
			v.blank = last
		}
	default:
		class, ok := classes[blank]
		if !ok {
			return nil, fmt.Errorf("parameters.blank: there is no token %q (want first, last or a token)", blank)
		}
		v.blank = class
	}
	v.special[v.blank] = true
	if !slices.ContainsFunc(v.tokens, func(t string) bool { return strings.HasPrefix(t, pieceSpace) }) {
		for _, between := range []string{"|", " ", "<space>"} {
			if class, ok := classes[between]; ok {
				v.delimiter, v.special[class] = class, false
				break
			}
		}
	}
	return v, nil
}

// blankNames are what exporters call the token that spells nothing.
var blankNames = []string{"<blk>", "<blank>", "<eps>", "[PAD]", "<pad>"}

func findBlank(classes map[string]int) int {
	for _, name := range blankNames {
		if class, ok := classes[name]; ok {
			return class
		}
	}
	return -1
}

// hasBlank tells whether a class is a token that may be the blank: a file that
// lists the blank needs no class after its last.
func hasBlank(classes map[string]int, class int) bool {
	for _, name := range blankNames {
		if at, ok := classes[name]; ok && at == class {
			return true
		}
	}
	return false
}

func isSpecial(token string) bool {
	n := len(token)
	return n > 2 && (token[0] == '<' && token[n-1] == '>' && !isByte(token) || token[0] == '[' && token[n-1] == ']')
}

// isByte tells whether a piece stands for one byte: "<0x0A>".
func isByte(token string) bool {
	return len(token) == 6 && strings.HasPrefix(token, "<0x") && token[5] == '>'
}

// lineClasses reads "token class" lines, or one token a line.
func lineClasses(s string) (map[string]int, error) {
	classes := map[string]int{}
	numbered := false
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(s, "\ufeff")) {
		line = strings.TrimRight(line, "\r\n")
		at := strings.LastIndexAny(line, " \t")
		class, err := strconv.Atoi(line[at+1:])
		if n == 0 {
			numbered = at >= 0 && err == nil
		}
		token := line
		if numbered {
			if at < 0 || err != nil {
				return nil, fmt.Errorf("line %d: %q has no class after its token", n+1, line)
			}
			if token = line[:at]; token == "" {
				token = " "
			}
		} else {
			class = n
		}
		if _, twice := classes[token]; twice {
			return nil, fmt.Errorf("line %d: token %q is there twice", n+1, token)
		}
		classes[token] = class
		n++
	}
	return classes, nil
}

// tokenizerClasses reads the pieces of a tokenizer.json.
func tokenizerClasses(b []byte) (map[string]int, error) {
	var file struct {
		Model struct {
			Vocab json.RawMessage
		}
		Added []struct {
			ID      int
			Content string
		} `json:"added_tokens"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, err
	}
	classes := map[string]int{}
	if len(file.Model.Vocab) > 0 && file.Model.Vocab[0] == '[' { // Unigram: pairs of piece and score
		var pieces [][2]any
		if err := json.Unmarshal(file.Model.Vocab, &pieces); err != nil {
			return nil, err
		}
		for i, p := range pieces {
			token, ok := p[0].(string)
			if !ok {
				return nil, fmt.Errorf("model.vocab[%d] is no piece", i)
			}
			classes[token] = i
		}
	} else if err := json.Unmarshal(file.Model.Vocab, &classes); err != nil {
		return nil, fmt.Errorf("model.vocab: %w", err)
	}
	for _, a := range file.Added {
		classes[a.Content] = a.ID
	}
	return classes, nil
}

// Classes is how many classes the network's output has, the blank included.
func (v *Vocabulary) Classes() int { return len(v.tokens) }

// Blank is the class that spells nothing.
func (v *Vocabulary) Blank() int { return v.blank }

// Plain tells whether what it spells, in lower case where that is asked for, is
// bare words: no token has a capital or a mark that ends a sentence.
func (v *Vocabulary) Plain(lowercase bool) bool {
	spelling := make([]string, 0, len(v.tokens))
	for i, token := range v.tokens {
		if !v.special[i] && !isByte(token) {
			spelling = append(spelling, token)
		}
	}
	return plain(spelling, lowercase)
}

// plain tells whether texts are bare words: letters of one case alone, where
// capitals count as small ones if they are to be made so, and no mark that
// ends a sentence.
func plain(texts []string, lowercase bool) bool {
	return !slices.ContainsFunc(texts, func(text string) bool {
		return strings.ContainsAny(text, ".?!") || !lowercase && text != strings.ToLower(text)
	})
}

// Token is one token as the network heard it.
type Token struct {
	Class      int
	Start, End int     // steps [Start, End)
	LogP       float64 // natural logarithm of its probability
}

// Spelling is a word that tokens spell.
type Spelling struct {
	Text       string
	Start, End int     // steps [Start, End)
	Confidence float64 // geometric mean of its tokens' probabilities
}

// Words joins tokens to words: between delimiters, or from one ▁ to the next.
// Special tokens are left out.
func (v *Vocabulary) Words(tokens []Token) []Spelling {
	var words []Spelling
	var w Spelling
	var sum float64
	count := 0
	finish := func() {
		if w.Text = strings.ToValidUTF8(strings.TrimSpace(w.Text), "\ufffd"); w.Text != "" {
			w.Confidence = math.Exp(sum / float64(count))
			words = append(words, w)
		}
		w, sum, count = Spelling{}, 0, 0
	}
	for _, t := range tokens {
		if t.Class < 0 || t.Class >= len(v.tokens) || v.special[t.Class] {
			continue
		}
		if t.Class == v.delimiter {
			finish()
			continue
		}
		text := v.tokens[t.Class]
		if v.delimiter < 0 && strings.HasPrefix(text, pieceSpace) {
			finish()
			text = strings.TrimPrefix(text, pieceSpace)
		}
		if isByte(text) {
			if b, err := strconv.ParseUint(text[3:5], 16, 8); err == nil {
				text = string([]byte{byte(b)})
			}
		}
		if count == 0 {
			w.Start = t.Start
		}
		w.Text += strings.ReplaceAll(text, pieceSpace, " ")
		w.End = max(w.End, t.End)
		sum += t.LogP
		count++
	}
	finish()
	return words
}
