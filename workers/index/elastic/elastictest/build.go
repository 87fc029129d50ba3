package elastictest

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

//go:embed nodes
var nodes embed.FS

// recipe is how a version's node is built.
type recipe struct {
	launcher string // its class
	move     string // jar that Move rewrites; empty: none
}

var recipes = map[string]recipe{
	V7: {launcher: "Node717", move: "analysis-common-7.10.2.jar"},
	V8: {launcher: "org.elasticsearch.node.Node819"},
}

// buildLimit is for 45 MB of jars over a slow line.
const buildLimit = 10 * time.Minute

// build returns the folder that holds a version's jars and classes, and makes
// it where it is missing. Its name has the hash of all that it is made from.
func build(ctx context.Context, version string) (string, error) {
	files, err := sources(version)
	if err != nil {
		return "", err
	}
	for _, program := range []string{"mvn", "javac", "java"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("the tests run a real node and %s is missing; on Debian: apt-get install maven default-jdk-headless", program)
		}
	}
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	for _, f := range files {
		fmt.Fprintf(hash, "%s\n%d\n%s", f.name, len(f.text), f.text)
	}
	folder := filepath.Join(cache, "elasticsearch-"+version+"-"+hex.EncodeToString(hash.Sum(nil)[:6]))
	lock, err := os.OpenFile(filepath.Join(cache, "elasticsearch-"+version+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() // and unlocks
	// Test binaries run at once: one builds, the others wait for it.
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if exists(folder) {
		return folder, nil
	}
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	part := folder + ".part"
	if err := errors.Join(os.RemoveAll(part), compile(ctx, part, version, files)); err != nil {
		return "", errors.Join(err, os.RemoveAll(part))
	}
	return folder, os.Rename(part, folder)
}

// cacheFolder is where the native parts are too: EARSHOT_CACHE, or .cache at the
// root of the module that the tests are of.
func cacheFolder() (string, error) {
	cache := os.Getenv("EARSHOT_CACHE")
	if cache == "" {
		at, err := os.Getwd()
		if err != nil {
			return "", err
		}
		for ; !exists(filepath.Join(at, "go.mod")); at = filepath.Dir(at) {
			if at == filepath.Dir(at) {
				return "", errors.New("set EARSHOT_CACHE to a folder for the jars")
			}
		}
		cache = filepath.Join(at, ".cache")
	}
	return cache, os.MkdirAll(cache, 0o755)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

type source struct{ name, text string }

func sources(version string) (files []source, err error) {
	if _, ok := recipes[version]; !ok {
		return nil, fmt.Errorf("no such version; there are %s and %s", V7, V8)
	}
	root := path.Join("nodes", version)
	err = fs.WalkDir(nodes, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := nodes.ReadFile(name)
		files = append(files, source{strings.TrimPrefix(name, root+"/"), string(text)})
		return err
	})
	if err != nil {
		return nil, err
	}
	const logging = "log4j2.properties"
	text, err := nodes.ReadFile(path.Join("nodes", logging))
	return append(files, source{logging, string(text)}), err
}

// compile resolves the jars into lib and compiles the launcher into classes.
func compile(ctx context.Context, folder, version string, files []source) error {
	var java []string
	for _, f := range files {
		name := filepath.Join(folder, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(f.text), 0o644); err != nil {
			return err
		}
		if strings.HasSuffix(f.name, ".java") {
			java = append(java, f.name)
		}
	}
	commands := [][]string{
		{"mvn", "-q", "-B", "-ntp", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"},
		append([]string{"javac", "-nowarn", "-cp", filepath.Join("lib", "*"), "-d", "classes"}, java...),
	}
	jar := recipes[version].move
	if jar != "" {
		commands = append(commands, []string{"java", "-cp", "classes:" + filepath.Join("lib", "*"), "Move", "lib", filepath.Join("lib", jar), "moved.jar"})
	}
	for _, c := range commands {
		command := exec.CommandContext(ctx, c[0], c[1:]...)
		command.Dir = folder
		if said, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c[:2], " "), err, said[max(0, len(said)-2000):])
		}
	}
	if jar == "" {
		return nil
	}
	return os.Rename(filepath.Join(folder, "moved.jar"), filepath.Join(folder, "lib", jar))
}
