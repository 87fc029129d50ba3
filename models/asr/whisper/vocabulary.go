package whisper

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/tokenizer"
)

// The files beside the graphs, as Optimum's export names them.
const (
	tokenizerFile  = "tokenizer.json"
	generationFile = "generation_config.json"
)

// vocabulary is what the tokens mean: text below eot, then the special ones,
// then timestamps to the end.
type vocabulary struct {
	bytes      []string       // of each text token
	names      map[int]string // of the special tokens: "<|en|>"
	languages  []language
	eot        int
	sot        int
	translate  int
	transcribe int
	sotPrev    int
	sotLM      int
	noSpeech   int
	noStamps   int
	stamps     int // of 0.00 s
	size       int

	multilingual bool
	suppress     []int    // at every step
	suppressHead []int    // at the first
	context      int      // tokens that the decoder has positions for
	initialStamp int      // the latest first timestamp, in steps of 20 ms
	alignment    [][2]int // layer and head of those that follow the audio
}

type language struct {
	token int
	code  string // BCP 47
}

// bcp47 is a language's code as BCP 47 has it: Whisper has one withdrawn code.
func bcp47(code string) string {
	if code == "jw" {
		return "jv"
	}
	return code
}

// languageToken tells the languages among the special tokens: <|en|>, <|haw|>.
var languageToken = regexp.MustCompile(`^<\|([a-z]{2,3})\|>$`)

// readVocabulary reads tokenizer.json, and generation_config.json where the
// model has it: exports before 2023 do not.
func readVocabulary(m *models.Model) (*vocabulary, error) {
	v := &vocabulary{}
	words, err := m.Read(tokenizerFile)
	if err != nil {
		return nil, err
	}
	if err := v.readTokenizer(words); err != nil {
		return nil, fmt.Errorf("whisper: model %s: %s: %w", m.Manifest.Ref(), tokenizerFile, err)
	}
	config := []byte("{}")
	if m.Manifest.Files[generationFile] != "" {
		if config, err = m.Read(generationFile); err != nil {
			return nil, err
		}
	}
	if err := v.readGeneration(config, words); err != nil {
		return nil, fmt.Errorf("whisper: model %s: %s: %w", m.Manifest.Ref(), generationFile, err)
	}
	return v, nil
}

func (v *vocabulary) readTokenizer(b []byte) error {
	var file struct {
		Added []struct {
			ID      int    `json:"id"`
			Content string `json:"content"`
		} `json:"added_tokens"`
		Model struct {
			Vocab map[string]int `json:"vocab"`
		} `json:"model"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return err
	}
	added := map[string]int{}
	v.names = map[int]string{}
	for _, t := range file.Added {
		added[t.Content] = t.ID
		v.names[t.ID] = t.Content
	}
	for _, want := range []struct {
		to    *int
		names []string
	}{
		{&v.eot, []string{"<|endoftext|>"}},
		{&v.sot, []string{"<|startoftranscript|>"}},
		{&v.translate, []string{"<|translate|>"}},
		{&v.transcribe, []string{"<|transcribe|>"}},
		{&v.sotPrev, []string{"<|startofprev|>"}},
		{&v.sotLM, []string{"<|startoflm|>"}},
		{&v.noSpeech, []string{"<|nospeech|>", "<|nocaptions|>"}}, // its older name
		{&v.noStamps, []string{"<|notimestamps|>"}},
	} {
		i := slices.IndexFunc(want.names, func(n string) bool { _, ok := added[n]; return ok })
		if i < 0 {
			return fmt.Errorf("added_tokens: no %s: this is not Whisper's vocabulary", want.names[0])
		}
		*want.to = added[want.names[i]]
	}
	for _, t := range file.Added {
		if code := languageToken.FindStringSubmatch(t.Content); code != nil && t.ID > v.sot && t.ID < v.translate {
			v.languages = append(v.languages, language{t.ID, bcp47(code[1])})
		}
	}
	slices.SortFunc(v.languages, func(a, b language) int { return a.token - b.token })
	v.stamps = v.noStamps + 1
	v.size = v.stamps + stampCount
	if v.eot < 0 || v.eot > maxTokens {
		return fmt.Errorf("added_tokens: <|endoftext|> has the id %d", v.eot)
	}
	for _, id := range []int{v.sot, v.translate, v.transcribe, v.sotPrev, v.sotLM, v.noSpeech, v.noStamps} {
		if id < v.eot || id > v.noStamps || v.noStamps > maxTokens {
			return fmt.Errorf("added_tokens: %s has the id %d, want one between <|endoftext|>'s, %d, and <|notimestamps|>'s, %d", v.names[id], id, v.eot, v.noStamps)
		}
	}
	// Files since 2023 list the timestamps too.
	for name, id := range map[string]int{"<|0.00|>": v.stamps, "<|30.00|>": v.size - 1} {
		if got, ok := added[name]; ok && got != id {
			return fmt.Errorf("added_tokens: %s has the id %d, want %d: the timestamps follow <|notimestamps|> in steps of 0.02 s", name, got, id)
		}
	}
	v.bytes = make([]string, v.eot)
	for token, id := range file.Model.Vocab {
		if id < 0 || id >= v.eot {
			continue // special tokens and timestamps are listed here too by some exports
		}
		text := tokenizer.Bytes(token)
		if text == nil {
			return fmt.Errorf("model.vocab: %q has a character that stands for no byte", token)
		}
		v.bytes[id] = string(text)
	}
	return nil
}

// maxTokens bounds the ids of a file: tables are made of that size.
const maxTokens = 1 << 20

// stampCount is how many timestamps there are: 0.00 s to 30.00 s.
const stampCount = 1501

// start is the tokens that open a transcript in a language ("" in an
// English-only model), without the one for no timestamps.
func (v *vocabulary) start(lang, task string) ([]int, error) {
	if !v.multilingual {
		return []int{v.sot}, nil
	}
	i := slices.IndexFunc(v.languages, func(l language) bool { return l.code == lang })
	if i < 0 {
		return nil, fmt.Errorf("the model has no language %q", lang)
	}
	if task == taskTranslate {
		return []int{v.sot, v.languages[i].token, v.translate}, nil
	}
	return []int{v.sot, v.languages[i].token, v.transcribe}, nil
}

// text decodes tokens; timestamps and the special tokens among them are left
// out, and bytes that are no UTF-8 become U+FFFD as in Python's decoding.
func (v *vocabulary) text(tokens []int) string {
	var b []byte
	for _, t := range tokens {
		if t >= 0 && t < v.eot {
			b = append(b, v.bytes[t]...)
		}
	}
	return tokenizer.Text(b)
}

// spelled is text with the special tokens among it by their names.
func (v *vocabulary) spelled(tokens []int) string {
	var b []byte
	for _, t := range tokens {
		switch {
		case t < v.eot:
			b = append(b, v.bytes[t]...)
		case t < v.stamps:
			b = append(b, v.names[t]...)
		}
	}
	return tokenizer.Text(b)
}
