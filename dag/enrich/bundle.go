package enrich

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/earshot-fm/earshot/dag/episode"
)

// bundleIndex is the first entry of a preview's artifact; the renditions'
// bytes follow under their object names.
const bundleIndex = "preview.json"

// writeBundle packs a preview and its objects as a tar whose bytes depend on
// nothing else.
func writeBundle(p episode.Preview, objects map[string][]byte) (io.Reader, error) {
	index, err := episode.Marshal(p)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, content []byte) error {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	if err := add(bundleIndex, index); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, r := range p.Renditions {
		if seen[r.Object] { // two bit rates that the codec made one
			continue
		}
		seen[r.Object] = true
		if err := add(r.Object, objects[r.Object]); err != nil {
			return nil, err
		}
	}
	return &b, w.Close()
}

// readBundleIndex reads the preview at the head of a bundle.
func readBundleIndex(r io.Reader) (episode.Preview, error) {
	p, _, err := openBundle(r)
	return p, err
}

// readBundle reads a preview and its objects.
func readBundle(r io.Reader) (episode.Preview, map[string][]byte, error) {
	p, t, err := openBundle(r)
	if err != nil {
		return p, nil, err
	}
	objects := map[string][]byte{}
	for {
		h, err := t.Next()
		if err == io.EOF {
			return p, objects, nil
		}
		if err != nil {
			return p, nil, fmt.Errorf("preview bundle: %w", err)
		}
		if objects[h.Name], err = io.ReadAll(t); err != nil {
			return p, nil, fmt.Errorf("preview bundle: %s: %w", h.Name, err)
		}
	}
}

func openBundle(r io.Reader) (p episode.Preview, t *tar.Reader, err error) {
	t = tar.NewReader(r)
	h, err := t.Next()
	if err == nil && h.Name != bundleIndex {
		err = fmt.Errorf("begins with %q, not %q", h.Name, bundleIndex)
	}
	if err == nil {
		err = json.NewDecoder(t).Decode(&p)
	}
	if err != nil {
		return p, nil, fmt.Errorf("preview bundle: %w", err)
	}
	return p, t, nil
}
