package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// store is a server of objects as HTTP servers, Google Cloud Storage (XML API)
// and S3 (path style) give them: GET /BUCKET/KEY.
type store struct {
	url     string
	objects map[string][]byte // by path
	asked   chan string       // paths of objects that come slowly
}

func newStore(t *testing.T, objects map[string][]byte) *store {
	t.Helper()
	s := &store{objects: objects, asked: make(chan string, 8)}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.url = server.URL
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(s.url, "http://"))
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	return s
}

func (s *store) serve(w http.ResponseWriter, r *http.Request) {
	b, ok := s.objects[r.URL.Path]
	if !ok {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>`)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	switch filepath.Base(r.URL.Path) {
	case "slow.zip":
		_, _ = w.Write(b[:100])
		w.(http.Flusher).Flush()
		s.asked <- r.URL.Path
		<-r.Context().Done()
	case "cut.zip":
		if strings.HasPrefix(r.Header.Get("Range"), "bytes=") && r.Header.Get("Range") != "bytes=0-" {
			w.WriteHeader(http.StatusServiceUnavailable) // nor does it go on
			return
		}
		_, _ = w.Write(b[:len(b)/2])
		panic(http.ErrAbortHandler)
	default:
		_, _ = w.Write(b) // a client that left is no matter
	}
}

// addresses are an object's by each way to fetch it.
func (s *store) addresses(key string) map[string]string {
	return map[string]string{
		"http": s.url + "/models/" + key,
		"gs":   "gs://models/" + key,
		"s3":   "s3://models/" + key + "?region=eu-west-1&use_path_style=true&endpoint=" + url.QueryEscape(s.url),
	}
}

// left are the names in a folder of models, hidden ones too.
func left(t *testing.T, state string) []string {
	t.Helper()
	names, err := fs.Glob(os.DirFS(filepath.Join(state, "models")), "*")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func tarred(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		h.Mode, h.Format = 0o644, tar.FormatUSTAR
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAModelIsAddedFromObjectStores(t *testing.T) {
	mine := ownModel(t, "earshot-vad", "my-vad", "", "")
	archive := zipped(t, filepath.Dir(mine))
	s := newStore(t, map[string][]byte{"/models/a/my-vad.zip": archive, "/models/a/cut.zip": archive})
	config := filepath.Join(t.TempDir(), "config.yaml")
	cut := map[string]string{"http": "took longer than 2s", "gs": "not fetched within 2s (fetch.timeout)", "s3": "unexpected EOF"}
	none := map[string]string{"http": "answered 404", "gs": "object doesn't exist", "s3": "The specified key does not exist"}
	for scheme, good := range s.addresses("a/my-vad.zip") {
		state := t.TempDir()
		add := func(address, sum string, more ...string) (string, int) {
			_, stderr, code := command(t, append([]string{"models", "add", "--state", state, "--config", config, address, "--sha256", sum}, more...)...)
			return stderr, code
		}
		for what, c := range map[string]struct {
			address, sum string
			more         []string
			want         string
		}{
			"another hash": {good, sumOf(nil), nil, "has sha256 " + sumOf(archive) + ", and " + sumOf(nil) + " is expected"},
			"too large":    {good, sumOf(archive), []string{"--max-bytes", "1000"}, "larger than 1000 bytes"},
			"cut off":      {s.addresses("a/cut.zip")[scheme], sumOf(archive), nil, cut[scheme]},
			"missing":      {s.addresses("a/none.zip")[scheme], sumOf(archive), nil, none[scheme]},
		} {
			timeout := "1m"
			if what == "cut off" {
				timeout = "2s" // it is tried again until then
			}
			write(t, config, "fetch: {timeout: "+timeout+", allow_private: [127.0.0.0/8]}\n")
			stderr, code := add(c.address, c.sum, c.more...)
			if code == exitOK || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "hunter2") {
				t.Errorf("%s, %s: exit code %d, %s", scheme, what, code, stderr)
			}
			if names := left(t, state); len(names) > 0 {
				t.Errorf("%s, %s: left %q", scheme, what, names)
			}
		}
		if stderr, code := add(good, sumOf(archive)); code != exitOK {
			t.Errorf("%s: exit code %d, %s", scheme, code, stderr)
		}
		if out, _, _ := command(t, "models", "list", "--state", state); !strings.Contains(out, "my-vad@1") {
			t.Errorf("%s: %s", scheme, out)
		}
	}
}

// An add that is stopped leaves nothing, and is in no list before.
func TestAnAddThatIsStoppedLeavesNothing(t *testing.T) {
	mine := ownModel(t, "earshot-vad", "my-vad", "", "")
	archive := zipped(t, filepath.Dir(mine))
	s := newStore(t, map[string][]byte{"/models/slow.zip": archive})
	config := loopback(t, "")
	for scheme, address := range s.addresses("slow.zip") {
		state := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan int, 1)
		var out, errs bytes.Buffer
		go func() {
			ended <- run(ctx, []string{"models", "add", address, "--sha256", sumOf(archive), "--state", state, "--config", config}, &out, &errs)
		}()
		<-s.asked
		if list, stderr, code := command(t, "models", "list", "--state", state); code != exitOK || strings.Contains(list, "my-vad") {
			t.Errorf("%s, under way: exit code %d, %s, %s", scheme, code, list, stderr)
		}
		cancel()
		if code := <-ended; code == exitOK {
			t.Errorf("%s: exit code %d, %s", scheme, code, out.String())
		}
		if names := left(t, state); len(names) > 0 {
			t.Errorf("%s: left %q", scheme, names)
		}
	}
}

// What a killed add has left goes with a later one; what is under way stays.
func TestWhatAKilledAddLeftIsSwept(t *testing.T) {
	mine := ownModel(t, "earshot-vad", "my-vad", "", "")
	state := t.TempDir()
	folder := func(name string, age time.Duration) {
		at := filepath.Join(state, "models", name, "model")
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(at, "model.yaml"), "half of it")
		when := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Dir(at), when, when); err != nil {
			t.Fatal(err)
		}
	}
	folder(".adding-1", 25*time.Hour)
	folder(".adding-2", time.Hour)
	if _, stderr, code := command(t, "models", "add", mine, "--state", state); code != exitOK {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	if names := left(t, state); !slices.Equal(names, []string{".adding-2", "my-vad"}) {
		t.Errorf("left %q", names)
	}
	if out, stderr, code := command(t, "models", "list", "--state", state); code != exitOK || !strings.Contains(out, "my-vad@1") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// Archives that are made to do harm.
func TestWhatAnArchiveMayNotHold(t *testing.T) {
	outside, err := os.ReadFile("../../models/testdata/external.onnx")
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 4} }
	external := filepath.Join(t.TempDir(), "m")
	if err := os.Mkdir(external, 0o755); err != nil {
		t.Fatal(err)
	}
	moved := bytes.Replace(outside, []byte("weights.bin"), []byte("../../b.bin"), 1)
	write(t, filepath.Join(external, "model.onnx"), string(moved))
	write(t, filepath.Join(external, "model.yaml"), strings.NewReplacer("SUM", sumOf(moved)).Replace(`schema: earshot.model/1
name: outside
version: 1
task: speech
family: frame-classifier
licence: MIT
precision: fp32
files: {model.onnx: SUM}
sessions: [model.onnx]
inputs: [{name: x, type: float32, shape: [batch, steps]}]
outputs: [{name: y, type: float32, shape: [batch, steps]}]
batch: {max_items: 4}
`))
	objects := map[string][]byte{
		"/models/up.tar":       tarred(t, file("m/model.yaml"), file("../../up.txt")),
		"/models/root.tar":     tarred(t, file("/etc/up.txt")),
		"/models/link.tar":     tarred(t, tar.Header{Name: "m/model.yaml", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}),
		"/models/hard.tar":     tarred(t, tar.Header{Name: "m/model.yaml", Typeflag: tar.TypeLink, Linkname: "../../config.yaml"}),
		"/models/device.tar":   tarred(t, tar.Header{Name: "m/zero", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5}),
		"/models/twice.tar":    tarred(t, file("m/a"), file("m/a")),
		"/models/cut.tar":      tarred(t, file("m/model.yaml"))[:513],
		"/models/none.tar":     tarred(t, file("m/notes.txt")),
		"/models/external.zip": zipped(t, filepath.Dir(external)),
	}
	s := newStore(t, objects)
	config := loopback(t, "")
	for key, want := range map[string]string{
		"up.tar":       `"../../up.txt" leads out of the folder`,
		"root.tar":     `"/etc/up.txt" leads out of the folder`,
		"link.tar":     `"m/model.yaml" is neither a file nor a folder`,
		"hard.tar":     `"m/model.yaml" is neither a file nor a folder`,
		"device.tar":   `"m/zero" is neither a file nor a folder`,
		"twice.tar":    "exists",
		"cut.tar":      "unexpected EOF",
		"none.tar":     "the archive has 0 folders with a model.yaml",
		"external.zip": `keeps tensors in "../../b.bin", which is outside the model's folder`,
	} {
		state := t.TempDir()
		_, stderr, code := command(t, "models", "add", s.url+"/models/"+key, "--sha256", sumOf(objects["/models/"+key]), "--state", state, "--config", config)
		if code == exitOK || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %s\nwant %s", key, code, stderr, want)
		}
		var found []string
		_ = filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				found = append(found, path)
			}
			return err
		})
		if len(found) > 0 || len(left(t, state)) > 0 {
			t.Errorf("%s: left %q", key, found)
		}
	}
}

// A server may send us on, but not to where we may not ask.
func TestARedirectIsFollowedToPublicAddressesAlone(t *testing.T) {
	mine := ownModel(t, "earshot-vad", "my-vad", "", "")
	archive := zipped(t, filepath.Dir(mine))
	other := newStore(t, map[string][]byte{"/models/my-vad.zip": archive})
	var target string
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) }))
	t.Cleanup(first.Close)
	config := filepath.Join(t.TempDir(), "config.yaml")
	write(t, config, "fetch: {allow_private: [127.0.0.1/32]}\n")
	add := func(to string) (string, int, []string) {
		target = to
		state := t.TempDir()
		_, stderr, code := command(t, "models", "add", first.URL+"/x.zip", "--sha256", sumOf(archive), "--state", state, "--config", config)
		return stderr, code, left(t, state)
	}
	if stderr, code, names := add(other.url + "/models/my-vad.zip"); code != exitOK || len(names) != 1 {
		t.Errorf("to another host: exit code %d, %s", code, stderr)
	}
	private := strings.Replace(other.url, "127.0.0.1", "127.0.0.2", 1) + "/models/my-vad.zip"
	if stderr, code, names := add(private); code == exitOK || !strings.Contains(stderr, "not a public address") || len(names) > 0 {
		t.Errorf("to a private address: exit code %d, %s, left %q", code, stderr, names)
	}
	if stderr, code, names := add("file:///etc/passwd"); code == exitOK || len(names) > 0 {
		t.Errorf("to a file: exit code %d, %s, left %q", code, stderr, names)
	}
}
