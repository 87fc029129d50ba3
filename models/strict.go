package models

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// decodeStrict decodes YAML into the struct that into points to. Each mistake
// (an unknown or repeated field, a value of another type) is one line of the
// error, with the field's path: `inputs[0].shpe: unknown field (has name,
// shape, type)`.
func decodeStrict(b []byte, into any) error {
	empty, err := DecodeStrict(b, into)
	if empty {
		return mistakes{"the file is empty"}
	}
	return err
}

// DecodeStrict decodes YAML over the values that into has, as a manifest is
// decoded: each mistake is a line of the error, with its field's path. It says
// whether the document is empty, which leaves into as it is. A yaml.Node in the
// struct takes what is there.
func DecodeStrict(b []byte, into any) (empty bool, err error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return true, nil
	} else if err != nil {
		return false, mistakes{strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return false, mistakes{"more than one document (---) is there: give one"}
	}
	var found mistakes
	found.decode(doc.Content[0], reflect.ValueOf(into).Elem(), "")
	return false, found.err()
}

// DecodeParams decodes the manifest's parameters into the task's own struct
// (yaml tags), strictly.
func DecodeParams(m *Model, into any) error {
	b, err := yaml.Marshal(m.Manifest.Params)
	if err != nil {
		return fmt.Errorf("models: %s: parameters: %w", m.Manifest.Ref(), err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return fmt.Errorf("models: %s: parameters: %w", m.Manifest.Ref(), err)
	}
	var found mistakes
	found.decode(doc.Content[0], reflect.ValueOf(into).Elem(), "parameters")
	if err := found.err(); err != nil {
		return fmt.Errorf("models: %s: %w", m.Manifest.Ref(), err)
	}
	return nil
}

// mistakes are what is wrong with a file, each with its field's path.
type mistakes []string

func (m mistakes) Error() string { return strings.Join(m, "\n") }

func (m mistakes) err() error {
	if len(m) == 0 {
		return nil
	}
	return m
}

func (m *mistakes) add(path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	*m = append(*m, text)
}

func (m *mistakes) decode(n *yaml.Node, into reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if node, ok := into.Addr().Interface().(*yaml.Node); ok {
		*node = *n
		return
	}
	if n.Tag == "!!null" {
		return
	}
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		m.decode(n, into.Elem(), path)
	case reflect.Struct:
		m.decodeStruct(n, into, path)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			m.add(path, "want a list, got %s", describe(n))
			return
		}
		into.Set(reflect.MakeSlice(into.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			m.decode(item, into.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Map:
		m.decodeMap(n, into, path)
	case reflect.Interface:
		if err := n.Decode(into.Addr().Interface()); err != nil {
			m.add(path, "%v", err)
		}
	default:
		// Every comparison with NaN is false: no bound would hold it.
		if n.Kind != yaml.ScalarNode || n.Decode(into.Addr().Interface()) != nil || into.CanFloat() && math.IsNaN(into.Float()) {
			m.add(path, "want %s, got %s", kindName(into.Type()), describe(n))
		}
	}
}

func (m *mistakes) decodeStruct(n *yaml.Node, into reflect.Value, path string) {
	fields := map[string]int{}
	for i := range into.NumField() {
		name, _, _ := strings.Cut(into.Type().Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields[name] = i
		}
	}
	m.entries(n, path, func(key, value *yaml.Node) {
		at := join(path, key.Value)
		i, ok := fields[key.Value]
		if !ok {
			names := make([]string, 0, len(fields))
			for name := range fields {
				names = append(names, name)
			}
			slices.Sort(names)
			m.add(at, "unknown field (has %s)", strings.Join(names, ", "))
			return
		}
		m.decode(value, into.Field(i), at)
	})
}

func (m *mistakes) decodeMap(n *yaml.Node, into reflect.Value, path string) {
	into.Set(reflect.MakeMap(into.Type()))
	m.entries(n, path, func(key, value *yaml.Node) {
		v := reflect.New(into.Type().Elem()).Elem()
		m.decode(value, v, join(path, key.Value))
		k := reflect.New(into.Type().Key()).Elem()
		m.decode(key, k, join(path, key.Value))
		into.SetMapIndex(k, v)
	})
}

func (m *mistakes) entries(n *yaml.Node, path string, f func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		m.add(path, "want fields, got %s", describe(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] {
			m.add(join(path, key.Value), "given twice")
			continue
		}
		seen[key.Value] = true
		f(key, n.Content[i+1])
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "fields"
	}
	return fmt.Sprintf("%q", n.Value)
}

func kindName(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "a duration such as 90s, 5m or 1h30m"
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Int32:
		return "a whole number"
	case reflect.Float64, reflect.Float32:
		return "a number"
	case reflect.Bool:
		return "true or false"
	}
	return "text"
}
