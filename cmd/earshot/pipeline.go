package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/earshot-fm/earshot/audio/codec"
	"github.com/earshot-fm/earshot/audio/enclosure"
	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models"
)

// layout is where the embedded parts keep what must last.
type layout struct {
	artifacts, origin, index, queue, announced, scratch string
}

func (c *config) layout(state string) layout {
	or := func(set, name string) string {
		if set != "" {
			return set
		}
		return filepath.Join(state, name)
	}
	return layout{
		artifacts: or(c.Storage.Artifacts, "artifacts"),
		origin:    or(c.Storage.Origin, "origin"),
		index:     or(c.Storage.Index, "index.db"),
		queue:     or(c.Storage.Queue, "queue.db"),
		announced: filepath.Join(state, "enriched.ndjson"),
		scratch:   filepath.Join(state, "scratch"),
	}
}

// pipeline is everything that enriching an episode uses, wired.
type pipeline struct {
	config    config
	layout    layout
	hardware  *hardware
	profiles  *gpu.Profiles
	scheduler *gpu.Scheduler
	*sinks
	messaging *messaging
	metrics   *prometheus.Registry
	decoder   *codec.Decoder
	encoder   *codec.Encoder
	fetch     fetching
	published documents

	mu    sync.Mutex
	wired *wiring // that episodes begin with now

	closers closers
}

// openPipeline opens all parts. The caller closes the pipeline.
func (a *app) openPipeline(ctx context.Context, c config, state string) (_ *pipeline, err error) {
	p := &pipeline{config: c, layout: c.layout(state), metrics: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(context.WithoutCancel(ctx)))
		}
	}()
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if p.layout.scratch, err = openScratch(p.layout.scratch); err != nil {
		return nil, err
	}
	p.closers.add(func(context.Context) error { return os.RemoveAll(p.layout.scratch) })
	catalog, err := c.catalog()
	if err != nil {
		return nil, err
	}
	spec, err := c.spec(catalog)
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	if err := p.openDevices(ctx, state, a.log(), a.probers); err != nil {
		return nil, err
	}
	p.config.fillSlots(ctx, a.probers)
	if p.decoder, err = codec.NewDecoder(codec.Options{MaxDuration: c.Fetch.MaxDuration}); err != nil {
		return nil, exit(exitMissingPart, err)
	}
	if p.encoder, err = codec.NewEncoder(p.decoder); err != nil {
		return nil, exit(exitMissingPart, err)
	}
	if p.sinks, err = c.openSinks(ctx, p.layout, p.metrics); err != nil {
		return nil, err
	}
	p.closers.add(p.sinks.closers.close)
	if p.messaging, err = p.config.openMessaging(ctx, p.layout, a.log()); err != nil {
		return nil, err
	}
	p.closers.add(p.messaging.closers.close)
	if c.standIn == 0 {
		if err := p.warmUp(ctx, c, catalog, spec, a.log()); err != nil {
			return nil, err
		}
	}
	p.fetch, p.published = p.fetcher(), p.documents()
	p.wired, err = p.wire(c, catalog, spec)
	return p, err
}

// wiring is one graph with its models, as a configuration has them. An episode
// ends with the one that it began with.
type wiring struct {
	catalog  *models.Catalog
	enricher *enrich.Enricher
	queues   []interface{ Close() } // of its models
	users    int                    // guarded by pipeline.mu
	replaced bool
}

func (p *pipeline) wire(c config, catalog *models.Catalog, spec *dag.Spec) (_ *wiring, err error) {
	w := &wiring{catalog: catalog}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	ports := enrich.Ports{
		Fetch:     p.fetch,
		Documents: p.published,

		Audio:    decoding{p.decoder},
		Preview:  rendering{p.decoder, p.encoder},
		Publish:  publishing{p.origin},
		Index:    indexing{p.index},
		Announce: p.messaging.announce,
	}
	identities := map[string]string{"decode": p.decoder.Build(), "preview": p.encoder.Build()}
	if c.standIn > 0 {
		standIn{c.standIn}.fit(&ports)
		identities = nil
	} else if err := p.tasks(w, spec, &ports, identities); err != nil {
		return nil, exit(exitUsage, err)
	}
	w.enricher, err = enrich.New(enrich.Options{
		Spec:       spec,
		Ports:      ports,
		Generation: c.Generation,
		Identities: identities,
		Store:      marked{p.store},
		Ledger:     markedLedger{p.store},
		Scratch:    p.layout.scratch,
		Worker:     c.Worker.Name,
		Now:        c.clock(),
	})
	return w, err
}

// close lets the models go that no other wiring uses.
func (w *wiring) close() {
	for _, q := range w.queues {
		q.Close()
	}
}

// rewire lets episodes that begin from now on go through the graph and the
// models of another configuration. Those under way end as they began; then
// their models leave the devices.
func (p *pipeline) rewire(ctx context.Context, c config, log *slog.Logger) error {
	catalog, err := c.catalog()
	if err != nil {
		return err
	}
	spec, err := c.spec(catalog)
	if err != nil {
		return err
	}
	if p.hardware.devices[0].Name != "cpu" {
		// A GPU's driver may not tell the measure's memory from that of the work that
		// goes on: what is new is guessed until the next start.
		c.Device.WarmUp = warmUpNever
	}
	if err := p.warmUp(ctx, c, catalog, spec, log); err != nil {
		return err
	}
	w, err := p.wire(c, catalog, spec)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.wired
	p.wired = w
	if old.replaced = true; old.users == 0 {
		old.close()
	}
	return nil
}

// begin gives an episode the wiring that it goes through, until end is called.
func (p *pipeline) begin() (w *wiring, end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w = p.wired
	w.users++
	return w, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if w.users--; w.users == 0 && w.replaced {
			w.close()
		}
	}
}

// graph is the graph in force.
func (p *pipeline) graph() *enrich.Enricher {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wired.enricher
}

// openDevices finds what models run on, and makes the scheduler over it.
func (p *pipeline) openDevices(ctx context.Context, state string, log *slog.Logger, open probers) error {
	c := p.config.Device
	losses, err := gpu.OpenLosses(lossesPath(state))
	if err != nil {
		log.Warn("devices that were lost are not known", "error", err)
	}
	p.hardware, err = openHardware(ctx, c, open, func(uuid string) string {
		until, reason, out := losses.LeftOut(uuid, time.Now())
		if !out {
			return ""
		}
		return fmt.Sprintf("it was lost again and again (%s), and is tried again from %s", reason, until.Local().Format(time.DateTime))
	})
	if err != nil {
		return err
	}
	for _, note := range p.hardware.notes {
		log.Info(note)
	}
	p.profiles = openProfiles(state, log)
	p.scheduler = gpu.New(gpu.Options{
		Runtime:     p.hardware.runtime,
		Devices:     p.hardware.devices,
		Profiles:    p.profiles,
		MaxWait:     c.BatchWait,
		BacklogWait: 10 * c.BatchWait,
		Registerer:  p.metrics,
		Log:         log,
	})
	g := startGuard(p.hardware, p.scheduler, losses, log, p.metrics)
	p.closers.add(g.close)
	p.closers.add(p.scheduler.Close)
	return nil
}

func (p *pipeline) fetcher() fetching {
	f := enclosure.New(p.config.Fetch.options())
	p.closers.add(func(context.Context) error { f.Close(); return nil })
	return fetching{f, p.config.Fetch.LocalFiles}
}

// documents reads transcripts and chapters.
func (p *pipeline) documents() documents {
	o := p.config.Fetch.options()
	o.MaxBytes, o.Timeout, o.Attempts, o.Compressed = maxDocument, 30*time.Second, 2, true
	f := enclosure.New(o)
	p.closers.add(func(context.Context) error { f.Close(); return nil })
	return documents{f, p.layout.scratch}
}

// options are what every download has in common.
func (c fetchConfig) options() enclosure.Options {
	o := enclosure.Options{MaxBytes: c.MaxBytes, Timeout: c.Timeout, Contact: c.Contact, Version: version}
	for _, s := range c.AllowPrivate {
		o.AllowPrivate = append(o.AllowPrivate, netip.MustParsePrefix(s)) // checked with the configuration
	}
	return o
}

// close releases everything.
func (p *pipeline) close(ctx context.Context) error { return p.closers.close(ctx) }

// openScratch makes this process's folder for files that need not last, and
// removes those of processes that are gone.
func openScratch(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("scratch folder: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && pid != os.Getpid() && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(filepath.Join(dir, e.Name())) // the next start tries again
		}
	}
	own := filepath.Join(dir, strconv.Itoa(os.Getpid()))
	if err := os.MkdirAll(own, 0o700); err != nil {
		return "", fmt.Errorf("scratch folder: %w", err)
	}
	return own, nil
}

// failure turns an enrichment's error into an exit code.
func failure(err error) error {
	if f, ok := errors.AsType[*dag.Failure](err); ok && f.Kind == dag.KindReject {
		return exit(exitRejected, err)
	}
	return err
}
