package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models"
)

// TestAWorkerTellsOfItself asks over the socket as an operator would, before and
// after its device is lost; what a killed worker leaves is cleared away.
func TestAWorkerTellsOfItself(t *testing.T) {
	state := t.TempDir()
	registry := prometheus.NewRegistry()
	p := &pipeline{messaging: &messaging{reach: func(context.Context) error { return nil }}, sinks: reachable(t), metrics: registry, scheduler: gpu.New(gpu.Options{Registerer: registry, Devices: []gpu.Device{{Name: "cuda:0", MemoryBytes: 1 << 30}}})}
	p.closers = append(p.closers, p.scheduler.Close)
	p.serveSocket(state, p.health(), slog.New(slog.DiscardHandler))
	stale := filepath.Join(state, "worker-1.sock")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as when a process is killed
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	workers := askWorkers(t.Context(), state)
	if len(workers) != 1 || workers[0].PID != os.Getpid() || workers[0].Devices[0].Device != "cuda:0" || workers[0].Devices[0].Ledger.Total != 1<<30 {
		t.Errorf("%+v", workers)
	}
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket of a worker that is gone: %v", err)
	}
	sockets, _ := filepath.Glob(filepath.Join(state, socketPattern))
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", sockets[0])
	}}
	defer transport.CloseIdleConnections()
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := (&http.Client{Transport: transport}).Get("http://worker" + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if code, body := get("/readyz"); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if _, body := get("/metrics"); !strings.Contains(body, `earshot_device_ledger_bytes{device="cuda:0",what="total"} 1.073741824e+09`) {
		t.Errorf("metrics:\n%s", body)
	}
	p.scheduler.Lose("cuda:0", models.ErrDeviceLost)
	if code, body := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "cuda:0") {
		t.Errorf("%d %s", code, body)
	}
	if err := p.close(context.Background()); err != nil {
		t.Error(err)
	}
	if workers := askWorkers(t.Context(), state); len(workers) != 0 {
		t.Errorf("after its end: %+v", workers)
	}
}

// TestASocketThatAKilledWorkerLeft: in a container the next worker has the same
// process number, and so the same name.
func TestASocketThatAKilledWorkerLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "worker-1.sock")
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := listenAt(path)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := os.Stat(path); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := listenAt(path); err == nil {
		t.Error("a socket at which another answers was taken")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
