package whisper

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/earshot-fm/earshot/models/tokenizer"
)

// englishEnd is <|endoftext|> in GPT-2's vocabulary, which the English-only
// models have; the multilingual ones have one token of text more.
const englishEnd = 50256

// leastContext has room for a prompt and a few words.
const leastContext = 16

// readGeneration reads generation_config.json, and takes what it does not say
// as the reference has it. words: tokenizer.json.
func (v *vocabulary) readGeneration(b, words []byte) error {
	var file struct {
		Alignment    [][2]int `json:"alignment_heads"`
		SuppressHead []int    `json:"begin_suppress_tokens"`
		Suppress     []int    `json:"suppress_tokens"`
		Multilingual *bool    `json:"is_multilingual"`
		InitialStamp *int     `json:"max_initial_timestamp_index"`
		MaxLength    *int     `json:"max_length"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return err
	}
	v.multilingual = v.eot != englishEnd
	if file.Multilingual != nil {
		v.multilingual = *file.Multilingual
	}
	v.alignment = file.Alignment
	v.context = 448
	if file.MaxLength != nil {
		v.context = *file.MaxLength
	}
	if v.context < leastContext {
		return fmt.Errorf("max_length: want %d or more, got %d", leastContext, v.context)
	}
	v.initialStamp = 50
	if file.InitialStamp != nil {
		v.initialStamp = *file.InitialStamp
	}
	if v.initialStamp < 0 {
		return fmt.Errorf("max_initial_timestamp_index: want 0 or more, got %d", v.initialStamp)
	}
	v.suppressHead = file.SuppressHead
	if v.suppressHead == nil {
		v.suppressHead = []int{slices.Index(v.bytes, " "), v.eot}
	}
	quiet := file.Suppress
	if quiet == nil {
		var err error
		if quiet, err = v.noSpeechTokens(words); err != nil {
			return err
		}
	}
	// Tokens that are never said, whatever the file lists.
	v.suppress = append(slices.Clone(quiet), v.transcribe, v.translate, v.sot, v.sotPrev, v.sotLM, v.noSpeech)
	slices.Sort(v.suppress)
	v.suppress = slices.Compact(v.suppress)
	for _, t := range slices.Concat(v.suppress, v.suppressHead) {
		if t < 0 || t >= v.size {
			return fmt.Errorf("suppressed token %d is not in the vocabulary of %d", t, v.size)
		}
	}
	return nil
}

// What stands for sounds, speakers and music in captions, and is not said
// (tokenizer.py, non_speech_tokens). The first token of a note is enough: the
// signs from U+2640 to U+267F share it.
const (
	captionMarks = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』" +
		" << >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪"
	captionNotes = "♩♪♫♬♭♮♯"
)

// noSpeechTokens are the tokens that the reference never says although they are
// text: marks of captions that are one token, with a space before them or
// without, and hyphens and quotes that open a word.
func (v *vocabulary) noSpeechTokens(words []byte) ([]int, error) {
	t, err := tokenizer.Read(words)
	if err != nil {
		return nil, fmt.Errorf("suppress_tokens are missing, and the reference's cannot be told: %s: %w", tokenizerFile, err)
	}
	var quiet []int
	first := func(text string) {
		if ids := t.Encode(text, false); len(ids) > 0 {
			quiet = append(quiet, ids[0])
		}
	}
	first(" -")
	first(" '")
	for _, note := range captionNotes {
		first(string(note))
		first(" " + string(note))
	}
	for _, mark := range strings.Fields(captionMarks) {
		for _, text := range []string{mark, " " + mark} {
			if i := slices.Index(v.bytes, text); i >= 0 {
				quiet = append(quiet, i)
			}
		}
	}
	return quiet, nil
}
