package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxVocabulary bounds the ids of a file: tables are made of that size.
const maxVocabulary = 4 << 20

// file is tokenizer.json. Padding is the caller's, who knows the batch.
type file struct {
	Version       string          `json:"version"`
	Truncation    *truncation     `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

// Read reads a tokenizer.json. Its errors name the place in the file: a
// component or a field that is not known, or a value that cannot be.
func Read(b []byte) (*Tokenizer, error) {
	var f file
	if err := strict(b, &f); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if f.Version != "1.0" {
		return nil, fmt.Errorf("tokenizer: version: %q, want \"1.0\"", f.Version)
	}
	t := &Tokenizer{cut: f.Truncation}
	var err error
	if t.normalize, err = readNormalizer(f.Normalizer, "normalizer"); err != nil {
		return nil, err
	}
	if t.split, err = readPreTokenizer(f.PreTokenizer, "pre_tokenizer"); err != nil {
		return nil, err
	}
	if t.model, err = readModel(f.Model, "model"); err != nil {
		return nil, err
	}
	if t.template, err = readTemplate(f.PostProcessor, "post_processor"); err != nil {
		return nil, err
	}
	if t.decode, err = readDecoder(f.Decoder, "decoder"); err != nil {
		return nil, err
	}
	if t.added, err = readAdded(f.AddedTokens, t.model, t.normalize); err != nil {
		return nil, err
	}
	if err := t.cut.check(); err != nil {
		return nil, err
	}
	return t, nil
}

func absent(b json.RawMessage) bool { return len(b) == 0 || string(b) == "null" }

// kind is a component's type.
func kind(b json.RawMessage, path string) (string, error) {
	var c struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return "", fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	return c.Type, nil
}

// component decodes one with its own fields and no others.
func component[T any](b json.RawMessage, path string) (T, error) {
	var c struct {
		Type string `json:"type"`
	}
	var fields T
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return fields, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return fields, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	delete(raw, "type")
	rest, err := json.Marshal(raw)
	if err != nil {
		return fields, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	if err := strict(rest, &fields); err != nil {
		return fields, fmt.Errorf("tokenizer: %s (%s): %w", path, c.Type, err)
	}
	return fields, nil
}

func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the end of the file's object")
	}
	return nil
}
