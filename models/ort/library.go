package ort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// libraryName is the shared library's name in the cache folder that
// `make setup` fills.
const libraryName = "libonnxruntime.so"

// ErrNoLibrary is wrapped by Library's error when there is no libonnxruntime.
var ErrNoLibrary = errors.New("libonnxruntime is missing")

// Library finds libonnxruntime: EARSHOT_ORT_LIB; the folder EARSHOT_CACHE; the
// folder of the executable and the .cache beside that folder; a .cache in the
// working directory or above it; the system's library folders.
func Library() (string, error) {
	if path := os.Getenv("EARSHOT_ORT_LIB"); path != "" {
		if !isFile(path) {
			return "", fmt.Errorf("ort: EARSHOT_ORT_LIB=%s: no such file", path)
		}
		return path, nil
	}
	for _, folder := range libraryFolders() {
		if path := filepath.Join(folder, libraryName); isFile(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("ort: %w: run `make setup`, or set EARSHOT_ORT_LIB to the path of libonnxruntime 1.24 or newer", ErrNoLibrary)
}

func libraryFolders() []string {
	var folders []string
	if cache := os.Getenv("EARSHOT_CACHE"); cache != "" {
		folders = append(folders, cache)
	}
	if exe, err := os.Executable(); err == nil {
		if exe, err = filepath.EvalSymlinks(exe); err == nil {
			folder := filepath.Dir(exe)
			folders = append(folders, folder, filepath.Join(filepath.Dir(folder), ".cache"))
		}
	}
	if folder, err := os.Getwd(); err == nil {
		for {
			folders = append(folders, filepath.Join(folder, ".cache"))
			parent := filepath.Dir(folder)
			if parent == folder {
				break
			}
			folder = parent
		}
	}
	return append(folders, "/usr/local/lib", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
