package models

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// ErrArchive is wrapped by Unpack's errors about the archive itself.
var ErrArchive = errors.New("cannot unpack the archive")

// maxArchiveFiles bounds an archive of a model's folder.
const maxArchiveFiles = 10_000

// Unpack writes the regular files of an archive (.tar, .tar.gz or .zip, told
// apart by their content) below a folder that exists. It refuses whatever is no
// file or folder (links above all), names that lead out of the folder or come
// twice, and more than maxBytes unpacked. What it wrote before an error stays.
func Unpack(archive, folder string, maxBytes int64) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", archive, err)
	}
	defer root.Close()
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer f.Close()
	u := &unpacking{root: root, most: maxBytes, left: maxBytes}
	head := make([]byte, 262)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("unpack %s: %w", archive, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("unpack %s: %w", archive, err)
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		err = u.zip(f)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		var z *gzip.Reader
		if z, err = gzip.NewReader(bufio.NewReader(f)); err == nil {
			err = u.tar(z)
		}
	case bytes.HasSuffix(head, []byte("ustar")):
		err = u.tar(bufio.NewReader(f))
	default:
		err = errors.New("it is no .tar, .tar.gz or .zip")
	}
	if err != nil {
		return fmt.Errorf("unpack %s: %w: %w", archive, ErrArchive, err)
	}
	return nil
}

type unpacking struct {
	root  *os.Root
	most  int64 // bytes that may be written
	left  int64 // of them
	files int
}

func (u *unpacking) tar(r io.Reader) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeReg:
			err = u.file(h.Name, t)
		case tar.TypeDir:
			err = u.folder(h.Name)
		case tar.TypeXGlobalHeader:
		default:
			err = fmt.Errorf("%q is neither a file nor a folder", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

func (u *unpacking) zip(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		return err
	}
	for _, e := range z.File {
		switch mode := e.Mode(); {
		case mode.IsDir():
			err = u.folder(e.Name)
		case mode.IsRegular():
			var r io.ReadCloser
			if r, err = e.Open(); err == nil {
				err = errors.Join(u.file(e.Name, r), r.Close())
			}
		default:
			err = fmt.Errorf("%q is neither a file nor a folder", e.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// local checks a name of an archive and makes it a path below the folder.
func (u *unpacking) local(name string) (string, error) {
	if u.files++; u.files > maxArchiveFiles {
		return "", fmt.Errorf("more than %d files", maxArchiveFiles)
	}
	clean := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if clean == "" {
		clean = "."
	}
	if !fs.ValidPath(clean) || strings.ContainsAny(clean, "\\\x00") {
		return "", fmt.Errorf("%q leads out of the folder", name)
	}
	return clean, nil
}

func (u *unpacking) folder(name string) error {
	at, err := u.local(name)
	if err != nil {
		return err
	}
	return u.root.MkdirAll(at, 0o755)
}

func (u *unpacking) file(name string, r io.Reader) error {
	at, err := u.local(name)
	if err != nil {
		return err
	}
	if err := u.root.MkdirAll(path.Dir(at), 0o755); err != nil {
		return err
	}
	out, err := u.root.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(r, u.left+1))
	u.left -= n
	if err == nil && u.left < 0 {
		err = fmt.Errorf("it is larger unpacked than %d bytes (--max-bytes)", u.most)
	}
	return errors.Join(err, out.Close())
}
