package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/artifact/buckettest"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index/elastic"
	"github.com/earshot-fm/earshot/workers/index/elastic/elastictest"
	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/bucket"
	"github.com/earshot-fm/earshot/workers/pubsub"
	"github.com/earshot-fm/earshot/workers/pubsub/pubsubtest"
)

// The services that the tests of this binary share: a Pub/Sub emulator, which
// has every project, and an Elasticsearch node.
var (
	emulatorOnce sync.Once
	emulator     struct {
		address string
		stop    func() error
		err     error
	}
	nodeOnce sync.Once
	node     struct {
		running *elastictest.Node
		err     error
	}
)

// startServices starts what is not running yet.
func startServices(t testing.TB) (pubsubAddress, elasticsearch string) {
	t.Helper()
	var starting sync.WaitGroup
	starting.Go(func() {
		nodeOnce.Do(func() { node.running, node.err = elastictest.Start(context.Background(), elastictest.V7) })
	})
	emulatorOnce.Do(func() {
		var (
			e   *pubsubtest.Emulator
			err = errors.New("as -fault.memory asks")
		)
		if !*faultMemory {
			e, err = pubsubtest.Start(context.Background())
		}
		if *faultMemory || errors.Is(err, pubsubtest.ErrNoEmulator) && !pubsubtest.Required() {
			fmt.Println("on the library's in-memory Pub/Sub:", err)
			m, err := pubsubtest.StartMemory()
			if emulator.err = err; err == nil {
				emulator.address, emulator.stop = m.Address, m.Stop
			}
			return
		}
		if emulator.err = err; err == nil {
			emulator.address, emulator.stop = e.Address, e.Stop
		}
	})
	starting.Wait()
	if err := errors.Join(emulator.err, node.err); err != nil {
		t.Fatal(err)
	}
	return emulator.address, node.running.URL
}

// stopServices ends those that were started.
func stopServices() (err error) {
	if emulator.stop != nil {
		err = emulator.stop()
	}
	if node.running != nil {
		err = errors.Join(err, node.running.Stop())
	}
	return err
}

// front stands before a service, and does to a request what it is told.
type front struct{ fault atomic.Pointer[fault] }

type fault func(service http.Handler, w http.ResponseWriter, r *http.Request)

func (f *front) between(service http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fault := f.fault.Load(); fault != nil {
			(*fault)(service, w, r)
			return
		}
		service.ServeHTTP(w, r)
	})
}

func (f *front) set(do fault) { f.fault.Store(&do) }
func (f *front) clear()       { f.fault.Store(nil) }

// site is all that one deployment has: its project, indices, buckets, with a
// front before each that tests make fail, and the configuration that names them.
type site struct {
	config            string // path
	project           string
	aliases           string
	elasticsearch     string // past the front
	artifacts, origin string // addresses
	pubsub            *pubsub.Client
	index             *elastic.Index // past the front

	es, artifactsFront, originFront front
}

var sites atomic.Int64

// newSite makes one whose workers have so many slots. Of folders, if any are named, artifacts and origin are kept
// in these instead of S3.
func newSite(t *testing.T, slots int, folders ...string) *site {
	t.Helper()
	address, elasticsearch := startServices(t)
	n := sites.Add(1)
	s := &site{project: fmt.Sprintf("site-%d", n), aliases: fmt.Sprintf("site%d", n), elasticsearch: elasticsearch}
	t.Setenv("PUBSUB_EMULATOR_HOST", address)
	t.Setenv("AWS_MAX_ATTEMPTS", "2")
	if len(folders) == 2 {
		s.artifacts, s.origin = folders[0], folders[1]
	} else {
		s.artifacts = buckettest.S3(t, s.artifactsFront.between)
		s.origin = buckettest.S3(t, s.originFront.between)
	}
	behind, err := url.Parse(elasticsearch)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	proxy.Transport = transport
	proxy.ErrorLog = log.New(io.Discard, "", 0) // of clients that have given up
	server := httptest.NewServer(s.es.between(proxy))
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(server.Close)

	s.config = filepath.Join(t.TempDir(), "config.yaml")
	write(t, s.config, fmt.Sprintf(`storage: {queue: "pubsub://%s", index: %q, artifacts: %q, origin: %q}
pubsub: {lease: 10s}
elasticsearch: {episodes: %[5]s-episodes, segments: %[5]s-segments, refresh: "true", timeout: 2s}
device: {kind: cpu, warm_up: never}
worker: {slots: %[6]d, grace: 20s, max_deliveries: 100000}
`, s.project, server.URL, s.artifacts, s.origin, s.aliases, slots))
	s.index, err = elastic.Open(elastic.Options{URLs: []string{elasticsearch}, Episodes: s.aliases + "-episodes", Segments: s.aliases + "-segments"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.index.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.pubsub, err = pubsub.Open(t.Context(), pubsub.Options{Project: s.project, Emulator: address, Lease: 10 * time.Second, Silence: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.pubsub.Create(t.Context(), func(string) {}); err != nil {
		t.Fatal(err)
	}
	live := "projects/" + s.project + "/subscriptions/earshot-"
	if err := pubsubtest.Hasten(t.Context(), address, live+"live", live+"backlog", live+"removals"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.index.Close(), s.pubsub.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) open(t *testing.T, address string) origin.Store {
	t.Helper()
	b, err := bucket.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (s *site) publish(t *testing.T, events ...episode.Event) {
	t.Helper()
	for _, e := range events {
		if err := s.pubsub.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

const reliabilityRevision = 1_795_000_000_000

// shortEpisodes are events whose titles each have a word of their own.
func shortEpisodes(n int) []episode.Event {
	all := make([]episode.Event, n)
	for i := range all {
		all[i] = episode.Event{
			ID: episode.NewID("reliability", fmt.Sprint(i)), Podcast: "9b024349-ccf0-5f69-a609-6b82873eab3c",
			Title: "Episode " + ownWord(i), Description: "A short one.", Revision: reliabilityRevision,
			Enclosure:   episode.Enclosure{URL: fmt.Sprintf("https://example.org/%d.mp3", i), Type: "audio/mpeg"},
			PublishedAt: time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC),
		}
	}
	return all
}

func ownWord(i int) string { return fmt.Sprintf("nr%dx", i) }

// tail is the end of a log, for failures.
func tail(log string) string {
	lines := strings.SplitAfter(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "")
}

// stateFolder is a new folder for a worker, whose name is short enough for the
// address of a socket.
func stateFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "earshot-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
