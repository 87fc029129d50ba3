package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/earshot-fm/earshot/workers/index"
)

// health says whether a worker can take work.
type health struct {
	device   func() error                           // nil: the models can run
	sinks    map[string]func(context.Context) error // by name; nil: it answers
	now      func() time.Time
	draining atomic.Bool

	mu      sync.Mutex
	checked time.Time
	faults  error
}

const (
	healthKept    = 2 * time.Second // so that probes of many do not become load
	healthTimeout = 5 * time.Second
)

var errDraining = errors.New("draining")

// ready is nil when all that the worker needs answers, else every fault.
func (h *health) ready(ctx context.Context) error {
	if h.draining.Load() {
		return errDraining
	}
	if err := h.device(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.checked.IsZero() && h.now().Sub(h.checked) < healthKept {
		return h.faults
	}
	// A probe that hangs up must not make its impatience everybody's answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthTimeout)
	defer cancel()
	var (
		asking sync.WaitGroup
		mu     sync.Mutex
		faults []string
	)
	for name, check := range h.sinks {
		asking.Go(func() {
			if err := check(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				faults = append(faults, fmt.Sprintf("%s: %v", name, err))
			}
		})
	}
	asking.Wait()
	h.checked, h.faults = h.now(), nil
	if len(faults) > 0 {
		slices.Sort(faults)
		h.faults = errors.New(strings.Join(faults, "\n"))
	}
	return h.faults
}

// zeroHash is of nothing: a store that answers says that it is not there.
var zeroHash = strings.Repeat("0", 64)

// health of a pipeline. Its models were opened and are warm before it is.
func (p *pipeline) health() *health {
	device := func() error {
		_, err := p.scheduler.Lost()
		return err
	}
	return &health{device: device, now: time.Now, sinks: map[string]func(context.Context) error{
		"index":    func(ctx context.Context) error { return answers(ctx, p.index) },
		"messages": p.messaging.reach,
		"origin": func(ctx context.Context) error {
			_, _, err := p.origin.Manifest(ctx, "readiness-probe")
			return err
		},
		"artifacts": func(ctx context.Context) error {
			_, err := p.store.Has(ctx, zeroHash)
			return err
		},
	}}
}

// answers tells whether an index can be asked.
func answers(ctx context.Context, x index.Index) error {
	if _, err := x.Get(ctx, "readiness-probe"); !errors.Is(err, index.ErrNotFound) {
		return err
	}
	return nil
}

// operatorPort is what operators and their tools may ask a worker: nothing of
// it changes anything.
func (p *pipeline) operatorPort(h *health) http.Handler {
	mux := h.port(p.metrics)
	mux.HandleFunc("GET /devices", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(showWorker(p.scheduler.Devices())) // a client that left is no matter
	})
	return mux
}

// port has what every process of ours tells operators.
func (h *health) port(metrics prometheus.Gatherer) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := h.ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// serve answers on the listener until the pipeline closes.
func (p *pipeline) serve(l net.Listener, handler http.Handler, log *slog.Logger) {
	p.closers.serve(l, handler, log)
}

// serveOperator has the operator port answer at an address, if there is one,
// until c closes.
func (c *closers) serveOperator(address string, port http.Handler, log *slog.Logger) error {
	if address == "" {
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return exit(exitUsage, fmt.Errorf("operator.listen: %w", err))
	}
	c.serve(l, port, log)
	log.Info("the operator port answers", "address", l.Addr().String())
	return nil
}

// serve answers on the listener until c closes.
func (c *closers) serve(l net.Listener, handler http.Handler, log *slog.Logger) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("not answering any more", "address", l.Addr(), "error", err)
		}
	})
	c.add(func(context.Context) error {
		err := server.Close()
		serving.Wait()
		return err
	})
}
