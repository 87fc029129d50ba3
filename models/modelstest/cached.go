package modelstest

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/earshot-fm/earshot/models"
)

// cached is the path of a file that `make setup` fetches: in the folder
// EARSHOT_CACHE, or in a .cache in the working directory or above it. Where it
// is not, the test fails.
func cached(t testing.TB, name string) string {
	t.Helper()
	folders := []string{}
	if cache := os.Getenv("EARSHOT_CACHE"); cache != "" {
		folders = append(folders, cache)
	}
	at, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		folders = append(folders, filepath.Join(at, ".cache"))
		up := filepath.Dir(at)
		if up == at {
			break
		}
		at = up
	}
	for _, folder := range folders {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	t.Fatalf("%s is not fetched: run `make setup` (it fetches it, checked by sha256, into %s)", name, folders[0])
	return ""
}

// Public loads a model of a ready manifest (a folder of models/public) with the
// files that `make setup` fetched for it. Those without a hash in setup have no
// place here: their weights cannot be fetched where the tests run.
func Public(t testing.TB, folder string, fetched ...string) *models.Model {
	t.Helper()
	files := fstest.MapFS{"model.yaml": {Data: read(t, filepath.Join(folder, "model.yaml"))}}
	for _, name := range fetched {
		files[name] = &fstest.MapFile{Data: read(t, cached(t, name))}
	}
	return load(t, files, ".")
}
