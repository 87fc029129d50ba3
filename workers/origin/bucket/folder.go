package bucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gocloud.dev/blob/fileblob"

	"github.com/earshot-fm/earshot/workers/origin"
)

// openFolder opens a folder as a store. Objects are plain files without
// sidecars: who serves the folder sets Content-Type by the extension, and
// Cache-Control by whether the path begins with previews/ or episodes/. Locks
// are taken on the folders themselves, so that nothing but objects and
// manifests is ever in them; they hold between processes of one machine.
func openFolder(dir string) (origin.Store, error) {
	fail := func(err error) (origin.Store, error) {
		return origin.Store{}, fmt.Errorf("origin: open folder %s: %w", dir, err)
	}
	manifests := filepath.Join(dir, "episodes")
	if err := os.MkdirAll(manifests, 0o777); err != nil {
		return fail(err)
	}
	root, err := os.Open(dir)
	if err != nil {
		return fail(err)
	}
	if err := sweep(root, dir); err != nil {
		return fail(errors.Join(err, root.Close()))
	}
	b, err := fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return fail(errors.Join(err, root.Close()))
	}
	return origin.Store{
		Bucket:  b,
		Lock:    func(ctx context.Context) (func() error, error) { return lock(ctx, manifests) },
		Persist: func(name string) error { return persist(dir, name) },
		Close:   func() error { return errors.Join(b.Close(), root.Close()) },
	}, nil
}

// sweep removes the temporary files that a killed process left, when no other
// process uses the folder; from then on this one does, until root is closed.
func sweep(root *os.File, dir string) error {
	err := syscall.Flock(int(root.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".tmp") {
				return err
			}
			return os.Remove(path)
		})
	}
	if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) {
		return err
	}
	return syscall.Flock(int(root.Fd()), syscall.LOCK_SH)
}

// lockPoll is how often a lock that another process holds is tried again; a
// manifest takes a few milliseconds to write.
const lockPoll = 5 * time.Millisecond

// lock takes the exclusive lock of a folder.
func lock(ctx context.Context, dir string) (unlock func() error, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-ticker.C:
		}
	}
}

// persist syncs the file and every folder on the way to it.
func persist(dir, name string) error {
	for path := filepath.Join(dir, filepath.FromSlash(name)); ; path = filepath.Dir(path) {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		if path == filepath.Clean(dir) {
			return nil
		}
	}
}
