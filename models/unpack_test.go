package models

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type entry struct {
	name, content, link string
}

func tarOf(t testing.TB, compressed bool, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if !compressed {
		w = tar.NewWriter(&b)
	}
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.content)), Typeflag: tar.TypeReg}
		if e.link != "" {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, e.link, 0
		} else if strings.HasSuffix(e.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil && e.link == "" {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if compressed {
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func zipOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.link != "" {
			h.SetMode(os.ModeSymlink | 0o777)
		}
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write([]byte(e.content + e.link))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(t testing.TB, archive []byte, maxBytes int64) (string, error) {
	t.Helper()
	dir := t.TempDir()
	file, into := filepath.Join(dir, "archive"), filepath.Join(dir, "into", "deep")
	if err := errors.Join(os.WriteFile(file, archive, 0o644), os.MkdirAll(into, 0o755)); err != nil {
		t.Fatal(err)
	}
	return into, Unpack(file, into, maxBytes)
}

func TestArchivesAreUnpacked(t *testing.T) {
	entries := []entry{{name: "./model/"}, {name: "model/model.yaml", content: "schema"}, {name: "model/onnx/a.onnx", content: "graph"}}
	for name, archive := range map[string][]byte{"tar.gz": tarOf(t, true, entries...), "tar": tarOf(t, false, entries...), "zip": zipOf(t, entries[1:]...)} {
		dir, err := unpack(t, archive, 11)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for path, want := range map[string]string{"model/model.yaml": "schema", "model/onnx/a.onnx": "graph"} {
			if b, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(b) != want {
				t.Errorf("%s: %s: %q, %v", name, path, b, err)
			}
		}
	}
}

func TestArchivesThatMeanHarmAreRefused(t *testing.T) {
	bomb := strings.Repeat("\x00", 1<<20)
	for name, c := range map[string]struct {
		entries []entry
		want    string
	}{
		"above":         {[]entry{{name: "../x", content: "x"}}, "leads out of the folder"},
		"absolute":      {[]entry{{name: "/tmp/x", content: "x"}}, "leads out of the folder"},
		"deep above":    {[]entry{{name: "a/../../x", content: "x"}}, "leads out of the folder"},
		"backslashes":   {[]entry{{name: `..\x`, content: "x"}}, "leads out of the folder"},
		"a link":        {[]entry{{name: "x", link: "/etc/passwd"}}, "neither a file nor a folder"},
		"twice":         {[]entry{{name: "x", content: "x"}, {name: "x", content: "y"}}, "exists"},
		"a bomb":        {[]entry{{name: "x", content: bomb}}, "larger unpacked than"},
		"a sum of many": {[]entry{{name: "x", content: bomb[:600]}, {name: "y", content: bomb[:600]}}, "larger unpacked than"},
	} {
		for kind, archive := range map[string][]byte{"tar.gz": tarOf(t, true, c.entries...), "zip": zipOf(t, c.entries...)} {
			dir, err := unpack(t, archive, 1000)
			if !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s: %v, want %s", name, kind, err, c.want)
			}
			if _, err := os.Lstat(filepath.Join(dir, "..", "x")); err == nil {
				t.Errorf("%s, %s: a file was written outside", name, kind)
			}
		}
	}
	if _, err := unpack(t, []byte("<html>"), 1000); !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), "no .tar, .tar.gz or .zip") {
		t.Error(err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(tarOf(f, true, entry{name: "model/model.yaml", content: "schema"}))
	f.Add(tarOf(f, false, entry{name: "a/../b", content: "x"}, entry{name: "c", link: "/"}))
	f.Add(zipOf(f, entry{name: "model/model.yaml", content: "schema"}))
	f.Fuzz(func(t *testing.T, archive []byte) {
		dir, err := unpack(t, archive, 1<<16)
		if err != nil && !errors.Is(err, ErrArchive) {
			t.Error(err)
		}
		outside, err := os.ReadDir(filepath.Dir(dir))
		if err != nil || len(outside) != 1 {
			t.Errorf("beside the folder: %v, %v", outside, err)
		}
	})
}
