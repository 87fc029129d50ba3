package models

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Dir is a folder on disk as a source for LoadCatalog or Load. Unlike with
// os.DirFS, a model of it may keep tensors in files beside its graphs: those a
// Runtime opens by their path.
func Dir(dir string) fs.FS { return diskFolder{os.DirFS(dir), dir} }

type diskFolder struct {
	fs.FS
	path string
}

func (d diskFolder) Sub(name string) (fs.FS, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "sub", Path: name, Err: fs.ErrInvalid}
	}
	return Dir(filepath.Join(d.path, filepath.FromSlash(name))), nil
}

// Folder is where the model lies on disk; ok is false for one that is not there
// by a Dir, as the built-in ones.
func (m *Model) Folder() (dir string, ok bool) {
	d, ok := m.Files.(diskFolder)
	return d.path, ok
}

// FolderRuntime is a Runtime that opens graphs whose tensors are in files
// beside them.
type FolderRuntime interface {
	Runtime
	// OpenIn is Open for a graph with external tensors: their locations are
	// relative to folder, on local disk.
	OpenIn(ctx context.Context, graph []byte, folder, device string) (Session, error)
}

// Open opens one of the model's graphs (a name among Manifest.Sessions) on a
// device, after checking the file, and those that hold its external tensors,
// against the manifest.
func (m *Model) Open(ctx context.Context, r Runtime, name, device string) (Session, error) {
	graph, err := m.Read(name)
	if err != nil {
		return nil, err
	}
	beside := m.external[name]
	if len(beside) == 0 {
		return r.Open(ctx, graph, device)
	}
	for _, file := range beside {
		if err := m.verifyFile(file); err != nil {
			return nil, fmt.Errorf("models: %s: files.%s: %w", m.Manifest.Ref(), file, err)
		}
	}
	f, ok := r.(FolderRuntime)
	if !ok {
		return nil, fmt.Errorf("models: %s: files.%s: keeps tensors in other files (%s), which this runtime (%s) cannot open", m.Manifest.Ref(), name, strings.Join(beside, ", "), r.Build())
	}
	return f.OpenIn(ctx, graph, filepath.Join(m.Files.(diskFolder).path, filepath.FromSlash(path.Dir(name))), device)
}

// Prefetch reads the model's graphs, and the files of their external tensors,
// once, so that the system has them at hand when they are opened.
func (m *Model) Prefetch(ctx context.Context) error {
	for _, name := range m.Manifest.Sessions {
		for _, file := range append([]string{name}, m.external[name]...) {
			if err := ctx.Err(); err != nil {
				return err
			}
			f, err := m.Files.Open(file)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, f)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}

// SessionBytes is the size of one of the model's graphs with its external
// tensors: what a device has to hold at least.
func (m *Model) SessionBytes(name string) (int64, error) {
	total := int64(0)
	for _, file := range append([]string{name}, m.external[name]...) {
		info, err := fs.Stat(m.Files, file)
		if err != nil {
			return 0, fmt.Errorf("models: %s: files.%s: %w", m.Manifest.Ref(), file, err)
		}
		total += info.Size()
	}
	return total, nil
}

// externalFiles are the files that hold a graph's external tensors: each in
// the manifest, and inside the model's folder in truth, not by a link.
// Locations are relative to the graph's own folder (ONNX, ExternalData.md).
func (m *Model) externalFiles(session string, g Graph) ([]string, error) {
	var files []string
	for _, location := range g.External {
		name := path.Join(path.Dir(session), location)
		switch {
		case slices.Contains(files, name):
			continue
		case path.IsAbs(location) || strings.Contains(location, `\`) || !fs.ValidPath(name) || name == ".":
			return nil, fmt.Errorf("keeps tensors in %q, which is outside the model's folder", location)
		case m.Manifest.Files[name] == "":
			return nil, fmt.Errorf("keeps tensors in %q: list %s in files with its sha256, or export the graph with its tensors inside", location, name)
		}
		files = append(files, name)
	}
	disk, ok := m.Files.(diskFolder)
	if !ok && len(files) > 0 {
		return nil, fmt.Errorf("keeps tensors in %q, and the model is not in a folder on disk: export the graph with its tensors inside", g.External[0])
	}
	for _, name := range files {
		for at := name; at != "."; at = path.Dir(at) {
			info, err := os.Lstat(filepath.Join(disk.path, filepath.FromSlash(at)))
			if err != nil {
				return nil, err
			}
			if info.Mode()&fs.ModeSymlink != 0 {
				return nil, fmt.Errorf("keeps tensors in %q, and %s is a symbolic link: put the file itself into the model's folder", name, at)
			}
		}
	}
	return files, nil
}

// verifyFile checks a file of any size against the manifest's hash.
func (m *Model) verifyFile(name string) error {
	f, err := m.Files.Open(name)
	if err != nil {
		return missing(err)
	}
	h := sha256.New()
	r := bufio.NewReader(f)
	head, _ := r.Peek(len(pointerMark)) // an error comes again below
	pointer := isPointer(head)
	_, err = io.Copy(h, r)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != m.Manifest.Files[name] {
		return sumError(pointer, got, m.Manifest.Files[name])
	}
	return nil
}
