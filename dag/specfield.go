package dag

import (
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// field is one entry of a YAML mapping, and where it stands.
type field struct {
	name  string
	path  string
	line  int
	value *yaml.Node
}

// fields gives the entries of a mapping in their order, and faults those that
// are not among the known names or come twice. Null is an empty mapping. The
// noun is what an entry is called.
func (d *specDecoder) fields(noun, path string, node *yaml.Node, known ...string) []field {
	node = target(node)
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		d.fault(path, node.Line, "must be a mapping of %s", strings.Join(known, ", "))
		return nil
	}
	var fields []field
	first := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		f := field{name: key.Value, path: path + "." + key.Value, line: key.Line, value: target(node.Content[i+1])}
		switch {
		case !slices.Contains(known, f.name):
			d.fault(f.path, f.line, "no such %s (%s)", noun, has(known))
		case first[f.name] != 0:
			d.fault(f.path, f.line, "is given twice, first in line %d", first[f.name])
		default:
			first[f.name] = f.line
			fields = append(fields, f)
		}
	}
	return fields
}

// value decodes a field that is not a mapping, and says whether it could.
func (d *specDecoder) value(f field, into any) bool {
	if err := f.value.Decode(into); err != nil {
		d.fault(f.path, f.line, "must be %s", describeType(reflect.TypeOf(into).Elem()))
		return false
	}
	return true
}

// fill decodes a mapping into the struct that into points to, by the names in
// its yaml tags. yaml.Node.Decode would let unknown fields pass.
func (d *specDecoder) fill(f field, into any) {
	v := reflect.ValueOf(into).Elem()
	byName := map[string]reflect.Value{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			byName[name] = v.Field(i)
		}
	}
	for _, entry := range d.fields("parameter", f.path, f.value, sortedKeys(byName)...) {
		to := byName[entry.name].Addr().Interface()
		_, own := to.(yaml.Unmarshaler)
		if byName[entry.name].Kind() == reflect.Struct && !own {
			d.fill(entry, to)
			continue
		}
		d.value(entry, to)
	}
}

// target follows an alias to what it stands for.
func target(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func describeType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32:
		return "a whole number"
	case reflect.Int64:
		if t.String() == "time.Duration" {
			return "a duration such as 90s"
		}
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number that is not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list, each " + describeType(t.Elem())
	case reflect.Map:
		return "a mapping, each value " + describeType(t.Elem())
	}
	return "a " + t.String()
}

func joinArrows(names []string) string { return strings.Join(names, " → ") }
