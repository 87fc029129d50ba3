package models

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ManifestFile is the name of a model folder's manifest.
const ManifestFile = "model.yaml"

// Schema is the version of the manifest that this package reads.
const Schema = "earshot.model/1"

// ErrNoModel is wrapped by Catalog.Get's error for an unknown reference.
var ErrNoModel = errors.New("no such model in the catalog")

// Catalog holds the models that there are, by name and version.
type Catalog struct {
	models []*Model // by name, then version
}

// LoadCatalog loads every model of some sources: file systems that are a model
// (with a model.yaml) or whose folders are. Every file is checked against its
// sha256. Two models of one name and version are an error, unless they are the
// same to the bit.
func LoadCatalog(sources ...fs.FS) (*Catalog, error) {
	c := &Catalog{}
	var errs []error
	for _, source := range sources {
		found, err := manifests(source)
		if err != nil {
			return nil, fmt.Errorf("models: look for models in %s: %w", place(source, "."), err)
		}
		for _, file := range found {
			folder := path.Dir(file)
			files, err := fs.Sub(source, folder)
			if err != nil {
				return nil, fmt.Errorf("models: %s: %w", folder, err)
			}
			m, err := Load(files)
			if err != nil {
				errs = append(errs, fmt.Errorf("models: %s: %w", place(source, file), err))
				continue
			}
			if other, err := c.Get(m.Manifest.Ref()); err == nil && other.SHA256 == m.SHA256 {
				continue
			} else if err == nil {
				errs = append(errs, fmt.Errorf("models: %s: %s is in the catalog already (%s, with model.yaml %.12s), and they differ: give this one another version, or remove that one", place(source, file), other.Manifest.Ref(), place(other.Files, "built in"), other.SHA256))
				continue
			}
			c.models = append(c.models, m)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(c.models, func(a, b *Model) int {
		return cmp.Or(cmp.Compare(a.Manifest.Name, b.Manifest.Name), cmp.Compare(a.Manifest.Version, b.Manifest.Version))
	})
	return c, nil
}

// place names a source's file for who has to mend it: by its path on disk where
// it has one.
func place(source fs.FS, file string) string {
	if d, ok := source.(diskFolder); ok {
		return filepath.Join(d.path, filepath.FromSlash(file))
	}
	return file
}

// manifests lists the manifests of a source: its own, or its folders'.
func manifests(source fs.FS) ([]string, error) {
	_, err := fs.Stat(source, ManifestFile)
	if err == nil {
		return []string{ManifestFile}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return fs.Glob(source, "*/"+ManifestFile)
}

// All lists the models by name, then version, each in its own precision.
func (c *Catalog) All() []*Model { return slices.Clone(c.models) }

// Get finds a model: "name@version", or "name" for its newest version, in its
// own precision; with ":int8" behind it, in that one.
func (c *Catalog) Get(ref string) (*Model, error) {
	which, precision, pinned := strings.Cut(ref, ":")
	name, version, exact := strings.Cut(which, "@")
	var best *Model
	for _, m := range c.models {
		if m.Manifest.Name != name || exact && strconv.Itoa(m.Manifest.Version) != version {
			continue
		}
		if best == nil || m.Manifest.Version > best.Manifest.Version {
			best = m
		}
	}
	if best == nil {
		return nil, fmt.Errorf("models: %q: %w (has %s)", ref, ErrNoModel, strings.Join(c.refs(), ", "))
	}
	if pinned {
		return best.In(precision)
	}
	return best, nil
}

// References are all by which Get finds a model in any of its precisions:
// name@version, and where it is the newest version of its name, name.
func (c *Catalog) References(m *Model) []string {
	bare := []string{fmt.Sprintf("%s@%d", m.Manifest.Name, m.Manifest.Version)}
	if newest, err := c.Get(m.Manifest.Name); err == nil && newest.Manifest.Version == m.Manifest.Version {
		bare = append([]string{m.Manifest.Name}, bare...)
	}
	all := bare
	for _, ref := range bare {
		for _, p := range m.Precisions() {
			all = append(all, ref+":"+p)
		}
	}
	return all
}

func (c *Catalog) refs() []string {
	refs := make([]string, len(c.models))
	for i, m := range c.models {
		refs[i] = m.Manifest.Ref()
	}
	return refs
}

// Load reads one model's folder: its manifest, decoded strictly, and its
// files, each checked against its sha256 and each graph against the manifest.
// The error lists every mistake with the path of its field.
func Load(files fs.FS) (*Model, error) {
	b, err := fs.ReadFile(files, ManifestFile)
	if err != nil {
		return nil, err
	}
	m := &Model{Files: files, SHA256: hash(b)}
	if err := decodeStrict(b, &m.Manifest); err != nil {
		return nil, err
	}
	var found mistakes
	found.checkManifest(&m.Manifest)
	if err := found.err(); err != nil {
		return nil, err
	}
	found.checkFiles(m)
	if err := found.err(); err != nil {
		return nil, err
	}
	found.fillLabels(m)
	return m, found.err()
}

// Read returns the content of one of the model's files, checked against the
// manifest.
func (m *Model) Read(name string) ([]byte, error) {
	b, err := m.read(name)
	if err != nil {
		return nil, fmt.Errorf("models: %s: files.%s: %w", m.Manifest.Ref(), name, err)
	}
	return b, nil
}

func (m *Model) read(name string) ([]byte, error) {
	want, ok := m.Manifest.Files[name]
	if !ok {
		return nil, fmt.Errorf("no such file in the manifest (has %s)", strings.Join(sorted(m.Manifest.Files), ", "))
	}
	b, err := fs.ReadFile(m.Files, name)
	if err != nil {
		return nil, missing(err)
	}
	if got := hash(b); got != want {
		return nil, sumError(isPointer(b), got, want)
	}
	return b, nil
}

// pointerMark begins what Git leaves in the place of a large file.
const pointerMark = "version https://git-lfs.github.com/"

var errPointer = errors.New("the file is a pointer of Git LFS, not the file itself: fetch that (git lfs pull)")

func isPointer(head []byte) bool { return bytes.HasPrefix(head, []byte(pointerMark)) }

// sumError says of a file what may have become of it.
func sumError(pointer bool, got, want string) error {
	if pointer {
		return errPointer
	}
	return fmt.Errorf("the file has sha256 %s, the manifest says %s: fetch it again, or correct the manifest where the file is meant to be another now", got, want)
}

// missing says what to do about a file that is not there.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: put it beside %s, or take it out of files", err, ManifestFile)
	}
	return err
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

var (
	nameForm   = regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*$`)
	sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func (m *mistakes) checkManifest(f *Manifest) {
	if f.Schema != Schema {
		m.add("schema", "want %q, got %q", Schema, f.Schema)
	}
	if !nameForm.MatchString(f.Name) {
		m.add("name", "want small letters, digits, dashes and dots, got %q", f.Name)
	}
	if f.Version < 1 {
		m.add("version", "want 1 or more, got %d", f.Version)
	}
	for _, field := range []struct{ path, value string }{{"task", f.Task}, {"family", f.Family}, {"licence", f.Licence}} {
		if field.value == "" {
			m.add(field.path, "is missing")
		}
	}
	if !slices.Contains(precisions, f.Precision) {
		m.add("precision", "want %s, got %q", anyOf(precisions), f.Precision)
	}
	for _, name := range sorted(f.Files) {
		at := "files." + name
		if !fs.ValidPath(name) || name == ManifestFile {
			m.add(at, "is not the path of a file inside the model's folder")
		}
		if !sha256Form.MatchString(f.Files[name]) {
			m.add(at, "want a sha256 (64 hexadecimal digits), got %q", f.Files[name])
		}
	}
	if len(f.Sessions) == 0 {
		m.add("sessions", "is missing: name the ONNX files to open")
	}
	for i, name := range f.Sessions {
		if _, ok := f.Files[name]; !ok {
			m.add(fmt.Sprintf("sessions[%d]", i), "%q is not in files", name)
		}
	}
	m.checkPorts("inputs", f.Inputs)
	m.checkPorts("outputs", f.Outputs)
	m.checkBatch("batch", f.Batch)
	m.checkVariants(f)
	m.checkLabels(f)
	if f.Frontend != nil {
		m.checkFrontend(f.Frontend)
	}
}

func (m *mistakes) checkBatch(path string, b Batch) {
	if b.Alone && b.Fixed {
		m.add(path+".alone", "with batch.fixed no item is alone")
	}
	if b.MaxItems < 1 {
		m.add(path+".max_items", "want 1 or more, got %d", b.MaxItems)
	}
	if b.MaxCost < 0 {
		m.add(path+".max_cost", "want 0 (no bound) or more, got %v", b.MaxCost)
	}
}

func (m *mistakes) checkLabels(f *Manifest) {
	if f.LabelsFile != "" && len(f.Labels) > 0 {
		m.add("labels_file", "is given, and labels too: give one")
	} else if _, ok := f.Files[f.LabelsFile]; !ok && f.LabelsFile != "" {
		m.add("labels_file", "%q is not in files", f.LabelsFile)
	}
	m.checkEachLabel(f.Labels)
}

func (m *mistakes) checkEachLabel(labels []Label) {
	seen := map[string]bool{}
	for i, l := range labels {
		at := fmt.Sprintf("labels[%d]", i)
		if l.Name == "" {
			m.add(at+".name", "is missing")
		} else if seen[l.Name] {
			m.add(at+".name", "%q is given twice", l.Name)
		}
		seen[l.Name] = true
		if l.Threshold < 0 || l.Threshold > 1 {
			m.add(at+".threshold", "want 0 to 1, got %v", l.Threshold)
		}
	}
}

func (m *mistakes) fillLabels(model *Model) {
	f := &model.Manifest
	if f.LabelsFile == "" {
		return
	}
	b, err := model.read(f.LabelsFile)
	if err == nil {
		f.Labels, err = readLabels(b)
	}
	if err != nil {
		m.add("labels_file", "%s: %v", f.LabelsFile, err)
	}
	m.checkEachLabel(f.Labels)
}

func (m *mistakes) checkPorts(path string, ports []Port) {
	if len(ports) == 0 {
		m.add(path, "is missing")
	}
	for i, p := range ports {
		at := fmt.Sprintf("%s[%d]", path, i)
		if p.Name == "" {
			m.add(at+".name", "is missing")
		}
		if !slices.Contains(elementTypes, p.Type) {
			m.add(at+".type", "want %s, got %q", anyOf(elementTypes), p.Type)
		}
		for j, dim := range p.Shape {
			if n, err := strconv.Atoi(dim); dim == "" || err == nil && n < 1 {
				m.add(fmt.Sprintf("%s.shape[%d]", at, j), "want a size of 1 or more, or a name, got %q", dim)
			}
		}
	}
}

func (m *mistakes) checkFrontend(f *Frontend) {
	switch f.Kind {
	case "logmel":
	case "whisper", "nemo", "ced": // audio/feature knows the rest
		if f.Mels < 1 {
			m.add("frontend.mels", "want 1 or more")
		}
		return
	default:
		m.add("frontend.kind", `want "logmel", "whisper", "nemo" or "ced", got %q`, f.Kind)
		return
	}
	for _, field := range []struct {
		path string
		ok   bool
		want string
	}{
		{"sample_rate", f.SampleRate > 0, "1 Hz or more"},
		{"fft", f.FFT > 0, "1 sample or more"},
		{"window", f.Window > 0 && f.Window <= f.FFT, "1 sample or more, at most fft"},
		{"hop", f.Hop > 0, "1 sample or more"},
		{"mels", f.Mels > 0, "1 or more"},
		{"min_hz", f.MinHz >= 0 && f.MinHz < f.MaxHz, "0 or more, below max_hz"},
		{"max_hz", f.MaxHz <= float64(f.SampleRate)/2, "at most half of sample_rate"},
		{"floor", f.Floor >= 0, "0 or more"},
	} {
		if !field.ok {
			m.add("frontend."+field.path, "want %s", field.want)
		}
	}
}

func (m *mistakes) checkFiles(model *Model) {
	places := model.Manifest.graphs()
	graphs := map[string]Graph{}
	for _, name := range sorted(model.Manifest.Files) {
		if !slices.ContainsFunc(places, func(p graphPlace) bool { return p.file == name }) {
			if err := model.verifyFile(name); err != nil {
				m.add("files."+name, "%v", err)
			}
			continue
		}
		b, err := model.read(name)
		var g Graph
		if err == nil {
			g, err = ReadGraph(b)
		}
		var beside []string
		if err == nil {
			beside, err = model.externalFiles(name, g)
		}
		if err != nil {
			m.add("files."+name, "%v", err)
			continue
		}
		if len(beside) > 0 {
			if model.external == nil {
				model.external = map[string][]string{}
			}
			model.external[name] = beside
		}
		m.checkTypes("files."+name, "input", g.Inputs)
		m.checkTypes("files."+name, "output", g.Outputs)
		graphs[name] = g
	}
	for _, p := range places {
		g, read := graphs[p.file]
		own, ownRead := graphs[model.Manifest.Sessions[p.index]]
		switch {
		case !read:
		case p.index == 0:
			m.checkGraph(p.path("inputs"), model.Manifest.Inputs, g.Inputs)
			m.checkGraph(p.path("outputs"), model.Manifest.Outputs, g.Outputs)
		case p.variant != "" && ownRead:
			m.checkSamePorts(p, "input", own.Inputs, g.Inputs)
			m.checkSamePorts(p, "output", own.Outputs, g.Outputs)
		}
	}
}

// checkTypes names the ports of a graph whose elements no Tensor holds.
func (m *mistakes) checkTypes(path, what string, ports []Port) {
	for _, p := range ports {
		if p.Type == "" {
			m.add(path, "the graph's %s %q is no tensor: export the graph with tensors alone", what, p.Name)
		} else if !slices.Contains(elementTypes, p.Type) {
			m.add(path, "the graph's %s %q has type %s: export the graph with %s at its edges", what, p.Name, p.Type, anyOf(elementTypes))
		}
	}
}

// elementTypes are Element's types as manifests name them.
var elementTypes = []string{"float32", "int64", "int32", "uint8", "bool"}

func anyOf(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// checkGraph compares the manifest's ports with the graph's. The manifest may
// be narrower than the graph (a size where the graph takes any), not wider.
func (m *mistakes) checkGraph(path string, manifest, graph []Port) {
	has := make([]string, len(graph))
	for i, p := range graph {
		has[i] = p.Name
		if !slices.ContainsFunc(manifest, func(q Port) bool { return q.Name == p.Name }) {
			m.add(path, "the graph's %q is missing", p.Name)
		}
	}
	for i, p := range manifest {
		at := fmt.Sprintf("%s[%d]", path, i)
		j := slices.Index(has, p.Name)
		if j < 0 {
			m.add(at+".name", "the graph has no %q (has %s)", p.Name, strings.Join(has, ", "))
			continue
		}
		g := graph[j]
		if p.Type != g.Type {
			m.add(at+".type", "is %s, and the graph's is %s", p.Type, g.Type)
		}
		if g.Shape == nil {
			continue
		}
		same := len(p.Shape) == len(g.Shape)
		for k := 0; same && k < len(g.Shape); k++ {
			if _, err := strconv.Atoi(g.Shape[k]); err == nil {
				same = p.Shape[k] == g.Shape[k]
			}
		}
		if !same {
			m.add(at+".shape", "is [%s], and the graph's is [%s]", strings.Join(p.Shape, ", "), strings.Join(g.Shape, ", "))
		}
	}
}

func sorted[T any](files map[string]T) []string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
