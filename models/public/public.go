// Package public holds ready manifests of models that others publish, one
// folder each: model.yaml as it will stand beside the files, and source.yaml,
// which says where the files are published. The files themselves are not here,
// and the sha256 of most of them is not known here: `earshot models add NAME`
// fetches them and wants the hashes that the publisher states.
package public

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/earshot-fm/earshot/models"
)

//go:embed */model.yaml */source.yaml
var files embed.FS

// Unknown stands in a ready manifest for a sha256 that is not known here.
const Unknown = "unknown"

// Source says where the files of a model are published.
type Source struct {
	// Repository is the model's on the hub where most are published
	// ("openai/whisper-tiny"), Revision a tag, branch or commit of it.
	Repository string `yaml:"repository"`
	Revision   string `yaml:"revision"`
	// Package is the Python package whose wheel holds the files, for those that
	// are published so.
	Package string `yaml:"package"`
	// Files are the paths where they are published, by their names in the
	// manifest; a file that is not named has its own name there.
	Files map[string]string `yaml:"files"`
	// Note says what to do by hand, if anything.
	Note string `yaml:"note"`
	// Export says how to make the graph, where the publisher has none: its
	// weights are for another framework alone.
	Export string `yaml:"export"`
}

// Path is where a file of the manifest is published.
func (s *Source) Path(file string) string {
	if p := s.Files[file]; p != "" {
		return p
	}
	return file
}

// Model is a ready manifest.
type Model struct {
	Name     string
	Source   Source
	Files    map[string]string // name -> sha256, or Unknown
	Ports    string            // of the first graph, as they have to be
	manifest []byte
}

// ErrUnknown is wrapped by Get's error for a name that is not here.
var ErrUnknown = errors.New("no ready manifest")

// Names lists the models.
func Names() []string {
	found, err := fs.Glob(files, "*/"+models.ManifestFile)
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for i := range found {
		found[i] = path.Dir(found[i])
	}
	return found
}

// Get gives the ready manifest of a name.
func Get(name string) (*Model, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("models: %q: %w (has %s)", name, ErrUnknown, strings.Join(Names(), ", "))
	}
	m := &Model{Name: name}
	b, err := files.ReadFile(name + "/source.yaml")
	if err != nil {
		return nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&m.Source); err != nil {
		return nil, fmt.Errorf("models: public/%s/source.yaml: %w", name, err)
	}
	if m.manifest, err = files.ReadFile(name + "/" + models.ManifestFile); err != nil {
		return nil, err
	}
	var f struct {
		Files    map[string]string `yaml:"files"`
		Sessions []string          `yaml:"sessions"`
		Inputs   []models.Port     `yaml:"inputs"`
		Outputs  []models.Port     `yaml:"outputs"`
	}
	if err := yaml.Unmarshal(m.manifest, &f); err != nil {
		return nil, fmt.Errorf("models: public/%s/%s: %w", name, models.ManifestFile, err)
	}
	m.Files = f.Files
	m.Ports = fmt.Sprintf("%s: %s -> %s", strings.Join(f.Sessions[:1], ""), ports(f.Inputs), ports(f.Outputs))
	return m, nil
}

// ports are as people write them: "waveform float32[batch, samples]".
func ports(list []models.Port) string {
	all := make([]string, len(list))
	for i, p := range list {
		all[i] = fmt.Sprintf("%s %s[%s]", p.Name, p.Type, strings.Join(p.Shape, ", "))
	}
	return strings.Join(all, ", ")
}

// Missing lists the files without a sha256, here or among given.
func (m *Model) Missing(given map[string]string) []string {
	var out []string
	for _, f := range slices.Sorted(maps.Keys(m.Files)) {
		if m.Files[f] == Unknown && given[f] == "" {
			out = append(out, f)
		}
	}
	return out
}

// Manifest is the model.yaml with the given sha256 in place of those that are
// not known here. One that contradicts a known one is an error.
func (m *Model) Manifest(given map[string]string) ([]byte, error) {
	out := m.manifest
	for _, f := range slices.Sorted(maps.Keys(given)) {
		have, ok := m.Files[f]
		switch {
		case !ok:
			return nil, fmt.Errorf("models: %s: no file %q in the manifest (has %s)", m.Name, f, strings.Join(slices.Sorted(maps.Keys(m.Files)), ", "))
		case have == given[f]:
		case have != Unknown:
			return nil, fmt.Errorf("models: %s: %s: the given sha256 is %s, and the ready manifest knows %s", m.Name, f, given[f], have)
		default:
			line := regexp.MustCompile(`(?m)([{ ,]` + regexp.QuoteMeta(f) + `: )` + Unknown + `\b`)
			out = line.ReplaceAll(out, []byte("${1}"+given[f]))
		}
	}
	return out, nil
}
