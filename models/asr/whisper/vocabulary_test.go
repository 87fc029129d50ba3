package whisper

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/earshot-fm/earshot/models"
)

// layout is where a vocabulary of the reference has its tokens:
// models/train/parity/layouts.py writes it.
type layout struct {
	Name         string
	Multilingual bool
	Special      map[string]int
	First        int `json:"first_timestamp"`
	Last         int `json:"last_timestamp"`
	Size         int
	Suppress     []int
	Blank        []int
	Languages    []string
	Text         map[string]string
}

func layouts(t *testing.T) []layout {
	t.Helper()
	b, err := os.ReadFile("testdata/layouts.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []layout
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// spell writes bytes as byte-level BPE's files do.
func spell(b []byte) string {
	stand, next := map[byte]rune{}, rune(256)
	for c := range 256 {
		if r := rune(c); r > ' ' && r < 0x7f || r > 0xa0 && r != 0xad {
			stand[byte(c)] = r
		} else {
			stand[byte(c)] = next
			next++
		}
	}
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(stand[c])
	}
	return s.String()
}

// export makes a tokenizer.json as the hub's are: the text tokens in
// model.vocab, with what the reference suppresses in its place and made-up
// words elsewhere, the special ones in added_tokens, and the timestamps after
// them, or nowhere.
type export struct {
	layout
	timestamps bool
	oldNames   bool // <|nocaptions|>
	lists      bool // special tokens in model.vocab too
	change     func(added map[string]int)
}

func (e export) tokenizer(t *testing.T) []byte {
	t.Helper()
	vocab, taken := map[string]int{}, map[int]bool{}
	put := func(token string, id int) {
		if _, ok := vocab[token]; !ok && !taken[id] {
			vocab[token], taken[id] = id, true
		}
	}
	for i, text := range e.Text {
		id, err := strconv.Atoi(i)
		if err != nil {
			t.Fatal(err)
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		put(spell(b), id)
	}
	free := 0
	next := func() int {
		for taken[free] {
			free++
		}
		return free
	}
	for c := range 256 {
		put(spell([]byte{byte(c)}), next())
	}
	if e.Multilingual {
		put("", 50256)
	}
	put("Ġâ", next()) // on the way to a note
	for id := next(); id < e.Special["<|endoftext|>"]; id = next() {
		put(fmt.Sprintf("w%d", id), id)
	}
	var merges [][2]string
	for _, token := range slices.Backward(slices.Sorted(maps.Keys(vocab))) { // a space is merged before others
		r := []rune(token)
		note := strings.HasPrefix(strings.TrimPrefix(token, "Ġ"), "âĻ") && len(r) <= 4
		if len(r) != 2 && !note {
			continue
		}
		for i := 1; i < len(r); i++ {
			m := [2]string{string(r[:i]), string(r[i])}
			if !slices.Contains(merges, m) {
				merges = append(merges, m)
			}
		}
	}
	slices.SortStableFunc(merges, func(a, b [2]string) int { return len([]rune(a[0])) - len([]rune(b[0])) })
	added := maps.Clone(e.Special)
	if e.oldNames {
		added["<|nocaptions|>"] = added["<|nospeech|>"]
		delete(added, "<|nospeech|>")
	}
	if e.timestamps {
		for i := range e.Last - e.First + 1 {
			added[fmt.Sprintf("<|%.2f|>", float64(i)*0.02)] = e.First + i
		}
	}
	if e.change != nil {
		e.change(added)
	}
	if e.lists {
		maps.Copy(vocab, added)
	}
	var list []map[string]any
	for content, id := range added {
		list = append(list, map[string]any{
			"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
			"special": content[2] < '0' || content[2] > '9',
		})
	}
	slices.SortFunc(list, func(a, b map[string]any) int { return a["id"].(int) - b["id"].(int) })
	level := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	token := func(name string) map[string]any {
		return map[string]any{"SpecialToken": map[string]any{"id": name, "type_id": 0}}
	}
	special := map[string]any{}
	for _, name := range []string{"<|startoftranscript|>", "<|notimestamps|>", "<|endoftext|>"} {
		special[name] = map[string]any{"id": name, "ids": []int{e.Special[name]}, "tokens": []string{name}}
	}
	text := map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}
	b, err := json.Marshal(map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": list, "normalizer": nil,
		"pre_tokenizer": level, "decoder": level,
		"post_processor": map[string]any{
			"type": "TemplateProcessing", "special_tokens": special,
			"single": []any{token("<|startoftranscript|>"), token("<|notimestamps|>"), text, token("<|endoftext|>")},
			"pair": []any{
				token("<|startoftranscript|>"), token("<|notimestamps|>"), text,
				map[string]any{"Sequence": map[string]any{"id": "B", "type_id": 1}}, token("<|endoftext|>"),
			},
		},
		"model": map[string]any{
			"type": "BPE", "dropout": nil, "unk_token": "<|endoftext|>", "continuing_subword_prefix": "",
			"end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
			"vocab": vocab, "merges": merges,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// generation is generation_config.json as the hub's are.
func (e export) generation(t *testing.T) []byte {
	t.Helper()
	s := e.Special
	c := map[string]any{
		"_from_model_config": false, "alignment_heads": [][2]int{{2, 2}, {3, 0}}, "begin_suppress_tokens": e.Blank,
		"bos_token_id": s["<|endoftext|>"], "decoder_start_token_id": s["<|startoftranscript|>"], "eos_token_id": s["<|endoftext|>"],
		"forced_decoder_ids": []any{[]any{1, nil}, []any{2, s["<|transcribe|>"]}}, "is_multilingual": e.Multilingual,
		"max_initial_timestamp_index": 50, "max_length": 448, "no_timestamps_token_id": s["<|notimestamps|>"],
		"pad_token_id": s["<|endoftext|>"], "prev_sot_token_id": s["<|startofprev|>"], "return_timestamps": false,
		"suppress_tokens": e.Suppress, "task_to_id": map[string]int{"transcribe": s["<|transcribe|>"], "translate": s["<|translate|>"]},
		"transformers_version": "4.31.0.dev0",
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// filed is a model of some files, without graphs.
func filed(files map[string][]byte) *models.Model {
	m := &models.Model{Manifest: models.Manifest{Name: "whisper", Version: 1, Files: map[string]string{}}}
	f := fstest.MapFS{}
	for name, b := range files {
		sum := sha256.Sum256(b)
		m.Manifest.Files[name] = hex.EncodeToString(sum[:])
		f[name] = &fstest.MapFile{Data: b}
	}
	m.Files = f
	return m
}

// Whichever way an export writes its files down, each token is where the
// reference has it.
func TestVocabulariesAreTheReferences(t *testing.T) {
	for _, l := range layouts(t) {
		for what, e := range map[string]export{
			"timestamps listed":     {layout: l, timestamps: true},
			"timestamps not listed": {layout: l, oldNames: true},
			"all in the vocabulary": {layout: l, timestamps: true, lists: true},
			"no generation_config":  {layout: l, timestamps: true, oldNames: true},
		} {
			files := map[string][]byte{tokenizerFile: e.tokenizer(t), generationFile: e.generation(t)}
			if what == "no generation_config" {
				delete(files, generationFile)
			}
			m := filed(files)
			what = l.Name + ", " + what
			v, err := readVocabulary(m)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			for name, got := range map[string]int{
				"<|endoftext|>": v.eot, "<|startoftranscript|>": v.sot, "<|translate|>": v.translate, "<|transcribe|>": v.transcribe,
				"<|startofprev|>": v.sotPrev, "<|startoflm|>": v.sotLM, "<|nospeech|>": v.noSpeech, "<|notimestamps|>": v.noStamps,
			} {
				if got != l.Special[name] {
					t.Errorf("%s: %s is %d, the reference has %d", what, name, got, l.Special[name])
				}
			}
			if v.stamps != l.First || v.size != l.Size || v.size-1 != l.Last {
				t.Errorf("%s: timestamps from %d to %d, the reference has %d to %d", what, v.stamps, v.size-1, l.First, l.Last)
			}
			if v.multilingual != l.Multilingual || v.context != 448 || v.initialStamp != 50 {
				t.Errorf("%s: multilingual %v, context %d, first timestamp up to %d", what, v.multilingual, v.context, v.initialStamp)
			}
			if !slices.Equal(v.suppress, l.Suppress) || !slices.Equal(v.suppressHead, l.Blank) {
				t.Errorf("%s: suppressed %v, at first %v\nthe reference has %v, %v", what, v.suppress, v.suppressHead, l.Suppress, l.Blank)
			}
			var codes []string
			for i, got := range v.languages {
				codes = append(codes, got.code)
				if got.token != l.Special["<|"+l.Languages[i]+"|>"] {
					t.Errorf("%s: <|%s|> is %d", what, l.Languages[i], got.token)
				}
			}
			want := slices.Clone(l.Languages)
			want[slices.Index(want, "jw")] = "jv" // withdrawn in 2001
			if !slices.Equal(codes, want) {
				t.Errorf("%s: languages %v", what, codes)
			}
			start, err := v.start("jv", taskTranslate)
			if l.Multilingual && !slices.Equal(start, []int{v.sot, l.Special["<|jw|>"], v.translate}) || !l.Multilingual && !slices.Equal(start, []int{v.sot}) || err != nil {
				t.Errorf("%s: starts with %v, %v", what, start, err)
			}
			if ids, err := encodePrompt(m, "(-"); err != nil || len(ids) == 0 || v.text(ids) != " (-" {
				t.Errorf("%s: a prompt is %v, %q, %v", what, ids, v.text(ids), err)
			}
			// Timestamps are never text.
			if said := v.text([]int{v.stamps, v.suppress[0], v.stamps + 1500}); said != v.bytes[v.suppress[0]] {
				t.Errorf("%s: says %q", what, said)
			}
		}
	}
}

// Without a list of suppressed tokens it is made of the vocabulary, as the
// reference makes it.
func TestSuppressedTokensAreTheReferences(t *testing.T) {
	for _, name := range parityModels {
		words, err := open(t, name).model.Read(tokenizerFile)
		if err != nil {
			t.Fatal(err)
		}
		v, err := readVocabulary(filed(map[string][]byte{tokenizerFile: words}))
		if want := goldenOf(t, name).Special.Suppress; err != nil || !slices.Equal(v.suppress, want) {
			t.Errorf("%s: suppressed %v, %v\nthe reference has %v", name, v.suppress, err, want)
		}
	}
}

func TestWhatIsNotWhispersVocabulary(t *testing.T) {
	l := layouts(t)[1]
	for want, change := range map[string]func(map[string]int){
		"added_tokens: no <|startoflm|>: this is not Whisper's vocabulary": func(a map[string]int) { delete(a, "<|startoflm|>") },
		"added_tokens: no <|nospeech|>":                                    func(a map[string]int) { delete(a, "<|nospeech|>") },
		"added_tokens: <|30.00|> has the id 7, want 51864":                 func(a map[string]int) { a["<|30.00|>"] = 7 },
		"added_tokens: <|0.00|> has the id 50365, want 50364":              func(a map[string]int) { a["<|0.00|>"]++ },
		"added_tokens: <|startoftranscript|> has the id -2, want one":      func(a map[string]int) { a["<|startoftranscript|>"] = -2 },
	} {
		e := export{layout: l, timestamps: true, change: change}
		if _, err := readVocabulary(filed(map[string][]byte{tokenizerFile: e.tokenizer(t)})); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	e := export{layout: l}
	m := filed(map[string][]byte{tokenizerFile: e.tokenizer(t), generationFile: []byte(`{"suppress_tokens": [60000]}`)})
	if _, err := readVocabulary(m); err == nil || !strings.Contains(err.Error(), "suppressed token 60000 is not in the vocabulary of 51865") {
		t.Errorf("got %v", err)
	}
	// An export may say that it suppresses nothing; the special tokens stay unsaid.
	m = filed(map[string][]byte{tokenizerFile: e.tokenizer(t), generationFile: []byte(`{"suppress_tokens": [], "begin_suppress_tokens": []}`)})
	if v, err := readVocabulary(m); err != nil || len(v.suppress) != 6 || len(v.suppressHead) != 0 {
		t.Errorf("%v, %v, %v", v.suppress, v.suppressHead, err)
	}
}

// What a file says may be wrong, and no error may be worse than a message.
func FuzzVocabulary(f *testing.F) {
	f.Add([]byte(`{"version": "1.0", "added_tokens": [{"id": 3, "content": "<|endoftext|>"}, {"id": 4, "content": "<|startoftranscript|>"},
{"id": 5, "content": "<|en|>"}, {"id": 6, "content": "<|translate|>"}, {"id": 7, "content": "<|transcribe|>"}, {"id": 8, "content": "<|startoflm|>"},
{"id": 9, "content": "<|startofprev|>"}, {"id": 10, "content": "<|nospeech|>"}, {"id": 11, "content": "<|notimestamps|>"}, {"id": 12, "content": "<|0.00|>"}],
"pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 99}, "merges": ["a b"]}}`),
		[]byte(`{"is_multilingual": false, "max_length": 20, "max_initial_timestamp_index": 5, "suppress_tokens": [1], "begin_suppress_tokens": [0, 3], "alignment_heads": [[0, 1]]}`))
	f.Add([]byte(`{"added_tokens": [{"id": 0, "content": "<|endoftext|>"}]}`), []byte(`{"max_length": -1, "suppress_tokens": [-1]}`))
	f.Fuzz(func(t *testing.T, words, config []byte) {
		v, err := readVocabulary(filed(map[string][]byte{tokenizerFile: words, generationFile: config}))
		if err != nil {
			return
		}
		logits := make([]float32, v.size)
		r := Runner{words: v, params: Params{Temperatures: []float64{0}, Task: taskTranscribe}}
		a := &attempt{item: Item{Language: "en", Previous: make([]int, 500)}}
		if err := r.begin(a); err != nil {
			return
		}
		for range 3 {
			if a.done || r.hear(a, slices.Clone(logits)) != nil {
				return
			}
		}
		if len(a.prompt) > v.context {
			t.Errorf("a prompt of %d tokens in %d places", len(a.prompt), v.context)
		}
	})
}
