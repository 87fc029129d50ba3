package bucket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/artifact/buckettest"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/origintest"
)

const secret = "a secret of this test"

// nginxPath is the nginx that .ci/nginx.sh has put into the cache folder,
// unless there is another.
func nginxPath(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("EARSHOT_NGINX"); path != "" {
		return path
	}
	if path, err := exec.LookPath("nginx"); err == nil {
		return path
	}
	cache := os.Getenv("EARSHOT_CACHE")
	if cache == "" {
		cache = filepath.Join(repository, ".cache")
	}
	path, err := filepath.Abs(filepath.Join(cache, "nginx", "usr", "sbin", "nginx"))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("no nginx: run .ci/nginx.sh, or set EARSHOT_NGINX (%v)", err)
	}
	return path
}

const repository = "../../.."

// site gives one of deploy/nginx's files with some settings replaced, each of
// which must be in it.
func site(t *testing.T, file string, settings ...string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(repository, "deploy", "nginx", file))
	if err != nil {
		t.Fatal(err)
	}
	text := string(body)
	for i := 0; i < len(settings); i += 2 {
		if !strings.Contains(text, settings[i]) {
			t.Fatalf("%s does not have %q", file, settings[i])
		}
		text = strings.ReplaceAll(text, settings[i], settings[i+1])
	}
	return text
}

// nginx runs with these sites until t ends. dir is where its sockets are.
func nginx(t *testing.T, dir string, sites ...string) {
	t.Helper()
	var temporary strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temporary, "%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n" // the folders of a test are its own
	}
	config := user + "worker_processes 1;\npid " + dir + "/pid;\nevents { worker_connections 64; }\nhttp {\naccess_log off;\n" +
		temporary.String() + strings.Join(sites, "\n") + "\n}\n"
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(config), 0o666); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(context.WithoutCancel(t.Context()), nginxPath(t), "-p", dir, "-c", path, "-e", "stderr", "-g", "daemon off; error_log stderr notice;")
	said, err := command.StderrPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	lines := bufio.NewScanner(said)
	up := false
	for !up && lines.Scan() {
		all = append(all, lines.Text())
		up = strings.Contains(lines.Text(), "start worker process ")
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines.Scan() {
			all = append(all, lines.Text())
		}
	}()
	t.Cleanup(func() {
		if up {
			if err := command.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
		<-read
		if err := command.Wait(); err != nil {
			t.Errorf("nginx: %v", err)
		}
		if t.Failed() {
			t.Logf("nginx said:\n%s", strings.Join(all, "\n"))
		}
	})
	if !up {
		t.Fatal("nginx did not start")
	}
}

// front is a server on a socket.
type front struct {
	client *http.Client
}

func at(t *testing.T, socket string) front {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return front{&http.Client{Transport: transport}}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (f front) send(t *testing.T, method, name string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://origin/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := f.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// get expects a status, a body, and headers.
func (f front) get(t *testing.T, name string, request []string, status int, body string, headers ...string) answer {
	t.Helper()
	got := f.send(t, http.MethodGet, name, request...)
	if got.status != status || body != "" && got.body != body {
		t.Errorf("GET %s %q: %d %q, want %d %q", name, request, got.status, got.body, status, body)
	}
	for i := 0; i < len(headers); i += 2 {
		if got.header.Get(headers[i]) != headers[i+1] {
			t.Errorf("GET %s %q: %s is %q, want %q", name, request, headers[i], got.header.Get(headers[i]), headers[i+1])
		}
	}
	return got
}

const (
	immutable = "public, max-age=31536000, immutable"
	fresh     = "public, max-age=60, stale-while-revalidate=60"
)

// serves holds a front to what a player needs of it.
func serves(t *testing.T, f front) {
	t.Helper()
	m, objects := origintest.Publication(1, episode.Version{Revision: 1})
	ogg, m4a := objects[0], objects[1]
	body := string(ogg.Body)
	whole := f.get(t, ogg.Name, nil, 200, body, "Content-Type", "audio/ogg", "Cache-Control", immutable, "Accept-Ranges", "bytes")
	f.get(t, m4a.Name, nil, 200, string(m4a.Body), "Content-Type", "audio/mp4", "Cache-Control", immutable)
	f.get(t, ogg.Name, []string{"Range", "bytes=4-8"}, 206, body[4:9], "Content-Type", "audio/ogg", "Cache-Control", immutable,
		"Content-Range", fmt.Sprintf("bytes 4-8/%d", len(body)))
	f.get(t, ogg.Name, []string{"Range", "bytes=-5"}, 206, body[len(body)-5:])
	f.get(t, ogg.Name, []string{"Range", "bytes=4-"}, 206, body[4:])
	f.get(t, ogg.Name, []string{"Range", "bytes=100000-"}, 416, "")
	etag := whole.header.Get("ETag")
	f.get(t, ogg.Name, []string{"Range", "bytes=4-8", "If-Range", etag}, 206, body[4:9])
	f.get(t, ogg.Name, []string{"Range", "bytes=4-8", "If-Range", `"other"`}, 200, body)
	f.get(t, ogg.Name, []string{"If-None-Match", etag}, 304, "")
	f.get(t, origin.ManifestName(m.ID), nil, 200, "", "Content-Type", "application/json", "Cache-Control", fresh)
	if got := f.send(t, http.MethodHead, ogg.Name); got.status != 200 || got.header.Get("Content-Length") != fmt.Sprint(len(body)) {
		t.Errorf("HEAD: %+v", got)
	}
	for _, method := range []string{"PUT", "POST", "DELETE"} {
		if got := f.send(t, method, ogg.Name); got.status != 403 {
			t.Errorf("%s: %d", method, got.status)
		}
	}
}

func TestNginxServesAFolder(t *testing.T) {
	dir, folder := t.TempDir(), t.TempDir()
	s := open(t, folder)
	nginx(t, dir, site(t, "origin.conf", "listen 8080;", "listen unix:"+dir+"/origin;", "/srv/earshot/origin", folder))
	f := at(t, dir+"/origin")
	m, objects := origintest.Publication(1, episode.Version{Revision: 1})
	manifest := origin.ManifestName(m.ID)
	f.get(t, manifest, nil, 404, "", "Cache-Control", "public, max-age=10")
	publish(t, s, 1)
	serves(t, f)

	stray := objects[0].Name + ".123.tmp"
	if err := os.WriteFile(filepath.Join(folder, stray), []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "previews/", "episodes/" + string(m.ID) + "/", "episodes/" + string(m.ID) + "/objects.json", stray} {
		f.get(t, name, nil, 404, "", "Cache-Control", "public, max-age=10")
	}
	if got := f.get(t, objects[0].Name, nil, 200, ""); got.header.Get("Surrogate-Key") != objects[0].Name {
		t.Errorf("Surrogate-Key is %q", got.header.Get("Surrogate-Key"))
	}

	// Another manifest of the same size, within the same second, is another.
	first := f.get(t, manifest, nil, 200, "")
	publish(t, s, 2)
	second := f.get(t, manifest, []string{"If-None-Match", first.header.Get("ETag"), "If-Modified-Since", first.header.Get("Last-Modified")}, 200, "")
	if second.body == first.body {
		t.Error("the first manifest was served again")
	}

	if _, err := origin.New(s, origin.Options{}).Remove(t.Context(), m.ID, 2); err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		f.get(t, object.Name, nil, 404, "")
	}
	if got := f.get(t, manifest, nil, 200, ""); !strings.Contains(got.body, `"removed": true`) {
		t.Errorf("manifest: %s", got.body)
	}
}

// caching holds a cache in front of the store to what cache.conf says.
func caching(t *testing.T, f front, s origin.Store) {
	t.Helper()
	purge := []string{"X-Earshot-Purge", secret}
	m, objects := origintest.Publication(1, episode.Version{Revision: 1})
	manifest, ogg := origin.ManifestName(m.ID), objects[0]
	publish(t, s, 1)
	f.get(t, ogg.Name, []string{"Range", "bytes=4-8"}, 206, string(ogg.Body[4:9]), "X-Cache-Status", "MISS")
	f.get(t, ogg.Name, nil, 200, string(ogg.Body), "X-Cache-Status", "HIT")
	f.get(t, ogg.Name, []string{"Range", "bytes=4-8"}, 206, string(ogg.Body[4:9]), "X-Cache-Status", "HIT")
	serves(t, f)

	first := f.get(t, manifest, nil, 200, "", "X-Cache-Status", "HIT")
	publish(t, s, 2)
	f.get(t, manifest, nil, 200, first.body, "X-Cache-Status", "HIT")
	f.get(t, manifest, []string{"X-Earshot-Purge", "a guess"}, 200, first.body, "X-Cache-Status", "HIT")
	second := f.get(t, manifest, purge, 200, "", "X-Cache-Status", "BYPASS")
	if second.body == first.body {
		t.Error("the first manifest came from the origin")
	}
	f.get(t, manifest, nil, 200, second.body, "X-Cache-Status", "HIT")

	if _, err := origin.New(s, origin.Options{}).Remove(t.Context(), m.ID, 2); err != nil {
		t.Fatal(err)
	}
	f.get(t, ogg.Name, nil, 200, string(ogg.Body), "X-Cache-Status", "HIT") // which is why removals are purged
	f.get(t, ogg.Name, purge, 404, "", "X-Cache-Status", "BYPASS")
	f.get(t, ogg.Name, nil, 404, "")
}

func cacheAt(t *testing.T, dir, upstream string) string {
	return site(t, "cache.conf", "listen 8081;", "listen unix:"+dir+"/cache;", "http://127.0.0.1:8080/", upstream,
		"/var/cache/nginx/earshot", dir+"/copies", "CHANGE-ME", secret)
}

func TestNginxCachesAFolder(t *testing.T) {
	dir, folder := t.TempDir(), t.TempDir()
	nginx(t, dir, site(t, "origin.conf", "listen 8080;", "listen unix:"+dir+"/origin;", "/srv/earshot/origin", folder),
		cacheAt(t, dir, "http://unix:"+dir+"/origin:/"))
	caching(t, at(t, dir+"/cache"), open(t, folder))
}

// bucketServer is where an S3 store that is reached over HTTP serves its bucket.
func bucketServer(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("endpoint") + "/previews/"
}

func TestNginxCachesABucket(t *testing.T) {
	dir := t.TempDir()
	address := buckettest.S3(t, nil)
	nginx(t, dir, cacheAt(t, dir, bucketServer(t, address)))
	caching(t, at(t, dir+"/cache"), open(t, address))
}

// A manifest whose time is over is served stale while the next is fetched, and
// then the next is served.
func TestNginxFetchesAManifestThatExpired(t *testing.T) {
	dir := t.TempDir()
	address := buckettest.S3(t, nil)
	nginx(t, dir, cacheAt(t, dir, bucketServer(t, address)))
	f := at(t, dir+"/cache")
	o := origin.New(open(t, address), origin.Options{ManifestMaxAge: time.Second, ManifestStale: time.Hour})
	put := func(revision episode.Revision) string {
		t.Helper()
		m, objects := origintest.Publication(1, episode.Version{Revision: revision})
		if _, err := o.Publish(t.Context(), m, objects); err != nil {
			t.Fatal(err)
		}
		return origin.ManifestName(m.ID)
	}
	manifest := put(1)
	first := f.get(t, manifest, nil, 200, "", "X-Cache-Status", "MISS")
	put(2)
	stale := false
	for {
		got := f.get(t, manifest, nil, 200, "")
		status := got.header.Get("X-Cache-Status")
		if got.body != first.body {
			if !stale || status == "MISS" || status == "EXPIRED" {
				t.Errorf("somebody waited for the next manifest (%s, stale before: %v)", status, stale)
			}
			return
		}
		stale = stale || status == "STALE" || status == "UPDATING"
	}
}
