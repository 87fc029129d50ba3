package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/earshot-fm/earshot/audio/enclosure"
	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/index"
)

func newStream(a *app) *cobra.Command {
	var feeds []string
	var untilEmpty, localFiles bool
	var dieAt, operator string
	var standIn time.Duration
	c := &cobra.Command{
		Use:   "stream",
		Short: "Enrich what the queue and the feeds bring, until stopped",
		Long: `Enrich what the queue and the feeds bring, and take down what they withdraw,
until stopped. The queue is embedded, or Pub/Sub (storage.queue); where api.listen
is configured, the API is answered too.

SIGTERM or an interrupt drains: nothing new is taken, running episodes have the
configured grace to finish, the rest is delivered again on the next start. A
second signal ends at once; nothing is lost by that either.

SIGHUP reads graph, models and generation anew from the configuration. Episodes
under way end with the models that they began with; new versions load beside
these where both fit.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			ctx := cmd.Context()
			// From here to the end, or one that comes early or late ends the process.
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP)
			defer signal.Stop(reload)
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			state, err := a.stateFolder()
			if err != nil {
				return err
			}
			die, err := parseDieAt(dieAt)
			if err != nil {
				return exit(exitUsage, err)
			}
			cfg.Fetch.LocalFiles = cfg.Fetch.LocalFiles || localFiles
			cfg.untilEmpty, cfg.standIn = untilEmpty, standIn
			p, err := a.openPipeline(ctx, cfg, state)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, p.close(context.WithoutCancel(ctx))) }()
			signal.Reset(syscall.SIGHUP) // as listen does, after CUDA was set up
			signal.Notify(reload, syscall.SIGHUP)
			h, log := p.health(), a.log()
			if confinement, err := p.decoder.Confine(ctx); err != nil {
				return err
			} else if len(confinement.Missing) > 0 {
				log.Warn("this kernel confines ffmpeg less than others would", "missing", confinement.Missing)
			}
			p.serveSocket(state, h, log)
			if err := p.closers.serveOperator(cmp.Or(operator, cfg.Operator.Listen), p.operatorPort(h), log); err != nil {
				return err
			}
			tracer, closeTracing, err := openTracing(ctx, cfg.Worker.Name)
			if err != nil {
				return exit(exitUsage, err)
			}
			p.closers.add(closeTracing)
			s := &streamer{app: a, pipeline: p, health: h, tracer: tracer, log: log, state: state, die: die, reload: reload}
			return s.run(ctx, feeds, untilEmpty)
		},
	}
	a.modelsFlag(c)
	a.devicesFlag(c)
	f := c.Flags()
	f.StringArrayVar(&feeds, "feed", nil, "address of an RSS feed to poll; may be repeated")
	f.BoolVar(&untilEmpty, "until-empty", false, "end when the queue is empty (and each feed was polled once)")
	f.BoolVar(&localFiles, "local-files", false, "take files of this machine that were submitted (fetch.local_files of the configuration)")
	f.StringVar(&operator, "operator", "", "answer /livez, /readyz, /metrics, /devices and /debug/pprof at this address, such as :9464 (default: operator.listen of the configuration)")
	f.StringVar(&dieAt, "die-at", "", "kill this process at NODE:started, NODE:stopped or verdict, the n-th time: decode:started:3")
	f.DurationVar(&standIn, "stand-in", 0, "take no audio and run no models: a stand-in that costs this time an episode")
	for _, forTests := range []string{"die-at", "stand-in"} {
		_ = f.MarkHidden(forTests)
	}
	return c
}

// streamer is one run of stream.
type streamer struct {
	app      *app
	pipeline *pipeline
	health   *health
	tracer   trace.Tracer
	log      *slog.Logger
	state    string
	die      *dieAt
	reload   <-chan os.Signal // SIGHUP
	mu       sync.Mutex       // one line of output at a time
}

func (s *streamer) run(ctx context.Context, feeds []string, once bool) error {
	p := s.pipeline
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(ctx, func() { s.health.draining.Store(true) })()

	var beside sync.WaitGroup
	aside := func(do func(context.Context) error) {
		beside.Go(func() {
			if err := do(ctx); err != nil {
				stop(err)
			}
		})
	}
	api, err := p.config.openAPI(p.index, p.messaging, func() error { return s.health.ready(ctx) }, p.metrics, s.log)
	if err != nil {
		return err
	}
	if api != nil {
		aside(api.serve)
	}
	if err := s.poll(ctx, feeds, once, aside); err != nil {
		stop(nil)
		beside.Wait()
		return err
	}
	reloading := onSignal(ctx, s.reload, func() { s.reconfigure(ctx, api) })
	c := p.config.Worker
	w := workers.New(s.traced(s.enrich), p.messaging.letters, workers.Options{
		Grace:         c.Grace,
		MaxFailures:   c.MaxFailures,
		MaxDeliveries: p.config.maxDeliveries(),
		Log:           s.log,
		Now:           p.config.clock(),
		Remove:        s.traced(s.remove),
		Name:          c.Name,
		Heads:         p.messaging.headsIn(p.sinks),
		Discard:       s.discard,
		Observe:       s.verdict,
	})
	err = w.Run(ctx, p.messaging.lanes...)
	stop(nil)
	beside.Wait()
	reloading()
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// reconfigure reads graph, models, tokens and certificates anew. A configuration
// that is wrong leaves all as it was.
func (s *streamer) reconfigure(ctx context.Context, api *endpoint) {
	if err := api.reload(); err != nil {
		s.log.Error("tokens and certificates stay as they were", "error", err)
	}
	c, err := s.app.loadConfig()
	if err == nil {
		err = s.pipeline.rewire(ctx, c, s.log)
	}
	if err != nil {
		s.log.Error("the configuration is not taken: all stays as it was", "error", err)
		return
	}
	s.log.Info("graph and models are those of the configuration now; other settings need a restart", "generation", c.Generation)
}

// traced does work on a delivery under a span of its own and with its lines in
// the log marked.
func (s *streamer) traced(work workers.Enrich) workers.Enrich {
	return func(ctx context.Context, d workers.Delivery) (workers.Outcome, error) {
		ctx = withSubject(ctx, slog.String("episode", string(d.Event.ID)), slog.Int64("revision", int64(d.Event.Revision)))
		ctx, span := startDelivery(ctx, s.tracer, d)
		outcome, err := work(ctx, d)
		endDelivery(span, outcome, err)
		return outcome, err
	}
}

// enrich takes one delivery through the graph.
func (s *streamer) enrich(ctx context.Context, d workers.Delivery) (workers.Outcome, error) {
	ev := d.Event
	ev.FirstSeen = d.FirstSeen
	logged := logNodes(ctx, s.log)
	result, err := s.pipeline.enrich(ctx, ev, func(e dag.Event) {
		s.die.observe(e)
		logged(e)
	})
	traceNodes(ctx, s.tracer, result.Report)
	switch {
	case err != nil:
		return "", verdictError(err)
	case ev.Control.Ping:
		s.pong(result.Report)
		return workers.Passed, nil
	case result.Overtaken:
		return workers.Overtaken, nil
	}
	return workers.Enriched, nil
}

// pong prints the answer to a ping: what would run.
func (s *streamer) pong(report dag.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.app.format == "json" {
		_ = s.app.jsonLine(report) // a closed pipe is no reason to stop working
		return
	}
	fmt.Fprintf(s.app.out, "%s: a ping; what would run:\n", report.Subject)
	printDecisions(s.app.out, report)
}

// enrich takes an event through the graph in its own lane of the scheduler.
func (p *pipeline) enrich(ctx context.Context, ev episode.Event, observe func(dag.Event)) (enrich.Result, error) {
	if ev.Priority == episode.Backlog {
		ctx = models.WithBacklogPriority(ctx)
	}
	w, end := p.begin()
	defer end()
	return w.enricher.Enrich(ctx, ev, observe)
}

// verdictError tells the worker what an enrichment's error means.
func verdictError(err error) error {
	if errors.Is(err, models.ErrDeviceLost) {
		return workers.Broken(err)
	}
	f, ok := errors.AsType[*dag.Failure](err)
	if ok && f.Kind == dag.KindReject {
		return workers.Rejected(f.Node, f.Reason, err)
	}
	if t, ok := errors.AsType[*enclosure.TransientError](err); ok && t.RetryAfter > 0 {
		return workers.RetryAfter(t.RetryAfter, err)
	}
	if u, ok := errors.AsType[*index.Unavailable](err); ok {
		return workers.Outage(u.After, err)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return workers.Outage(0, fmt.Errorf("%w: make room", err))
	}
	if _, ok := errors.AsType[*outage](err); ok {
		return workers.Outage(0, err)
	}
	return err
}

// verdict prints what became of a delivery.
func (s *streamer) verdict(d workers.Delivery, v workers.Verdict, took time.Duration) {
	s.die.reached("verdict")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.app.format == "json" {
		line := struct {
			ID       episode.ID       `json:"id"`
			Revision episode.Revision `json:"revision"`
			Verdict  workers.Kind     `json:"verdict"`
			Outcome  workers.Outcome  `json:"outcome,omitempty"`
			Reason   string           `json:"reason,omitempty"`
			Attempt  int              `json:"attempt"`
			Took     episode.Seconds  `json:"took"`
		}{d.Event.ID, d.Event.Revision, v.Kind, v.Outcome, v.Reason, d.Attempt, episode.Seconds(took.Seconds())}
		_ = s.app.jsonLine(line) // a closed pipe is no reason to stop working
		return
	}
	fmt.Fprintf(s.app.out, "%s  %s  %v (%.1fs)\n", d.Event.ID, printable(d.Event.Title), printable(v.String()), took.Seconds())
}
