package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/earshot-fm/earshot/gpu"
)

// reachable are the embedded sinks.
func reachable(t *testing.T) *sinks {
	t.Helper()
	c := defaultConfig()
	s, err := c.openSinks(t.Context(), c.layout(t.TempDir()), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.closers.close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestReadinessNamesEveryFaultAndAsksSinksSeldom(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	asked := 0
	var device, index error
	h := &health{
		device: func() error { return device },
		now:    func() time.Time { return now },
		sinks: map[string]func(context.Context) error{
			"origin": func(context.Context) error { return errors.New("403 Forbidden") },
			"index": func(context.Context) error {
				asked++
				return index
			},
		},
	}
	index = errors.New("connection refused")
	if err := h.ready(t.Context()); err == nil || err.Error() != "index: connection refused\norigin: 403 Forbidden" {
		t.Errorf("%v", err)
	}
	index = nil
	if err := h.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "index") || asked != 1 {
		t.Errorf("at once again: %v, asked %d times", err, asked)
	}
	now = now.Add(healthKept)
	if err := h.ready(t.Context()); err == nil || err.Error() != "origin: 403 Forbidden" || asked != 2 {
		t.Errorf("later: %v, asked %d times", err, asked)
	}
	device = errors.New("cuda:0 is lost")
	if err := h.ready(t.Context()); !errors.Is(err, device) {
		t.Errorf("a lost device: %v", err)
	}
	h.draining.Store(true)
	if err := h.ready(t.Context()); !errors.Is(err, errDraining) {
		t.Errorf("while draining: %v", err)
	}
}

func TestTheOperatorPort(t *testing.T) {
	registry := prometheus.NewRegistry()
	p := &pipeline{messaging: &messaging{reach: func(context.Context) error { return nil }}, sinks: reachable(t), metrics: registry, scheduler: gpu.New(gpu.Options{Registerer: registry, Devices: []gpu.Device{{Name: "cpu", MemoryBytes: 1 << 30}}})}
	p.closers.add(p.scheduler.Close)
	h := p.health()
	s := httptest.NewServer(p.operatorPort(h))
	defer s.Close()
	status := func(method, path string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		return resp.StatusCode
	}
	for path, want := range map[string]int{
		"/livez": 200, "/readyz": 200, "/metrics": 200, "/devices": 200, "/debug/pprof/": 200, "/debug/pprof/goroutine": 200, "/": 404,
	} {
		if got := status(http.MethodGet, path); got != want {
			t.Errorf("GET %s: %d, want %d", path, got, want)
		}
		if got := status(http.MethodPost, path); got < 400 {
			t.Errorf("POST %s: %d", path, got)
		}
	}
	h.draining.Store(true)
	if live, ready := status(http.MethodGet, "/livez"), status(http.MethodGet, "/readyz"); live != 200 || ready != 503 {
		t.Errorf("while draining: alive %d, ready %d", live, ready)
	}
	if err := p.close(t.Context()); err != nil {
		t.Error(err)
	}
}

// A sink that is gone makes a worker unready, whatever the reason.
func TestASinkThatIsGoneIsNamed(t *testing.T) {
	c := defaultConfig()
	l := c.layout(t.TempDir())
	s, err := c.openSinks(t.Context(), l, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.closers.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	p := &pipeline{messaging: &messaging{reach: func(context.Context) error { return nil }}, sinks: s, scheduler: gpu.New(gpu.Options{Registerer: registry, Devices: []gpu.Device{{Name: "cpu", MemoryBytes: 1 << 30}}})}
	p.closers.add(p.scheduler.Close)
	err = p.health().ready(t.Context())
	for _, name := range []string{"index", "origin", "artifacts"} {
		if err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s, which is closed, is not named: %v", name, err)
		}
	}
	if err := p.close(t.Context()); err != nil {
		t.Error(err)
	}
}
