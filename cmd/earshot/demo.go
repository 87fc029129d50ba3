package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/feed"
	"github.com/earshot-fm/earshot/workers/latency"
	"github.com/earshot-fm/earshot/workers/queue"
)

func newDemo(a *app) *cobra.Command {
	var sample, out string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Enrich the sample feed, served on loopback, and compare with its truth",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), sample, out)
		},
	}
	a.modelsFlag(c)
	a.devicesFlag(c)
	c.Flags().StringVar(&sample, "sample", "sample", "folder of the sample: feed/ and truth/")
	c.Flags().StringVar(&out, "out", "demo-out", "folder for what the demo leaves")
	return c
}

// demoRun is a demo's episodes and what became of each.
type demoRun struct {
	pipeline *pipeline
	progress *progress
	truths   map[episode.ID]truth

	mu       sync.Mutex
	outcomes map[episode.ID]outcome
}

func (a *app) demo(ctx context.Context, sample, out string) (err error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(sample, "feed", "feed.xml")); err != nil {
		return exit(exitMissingPart, fmt.Errorf("demo: no sample feed in %q: run in a clone of the repository, or name its sample folder with --sample", sample))
	}
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	base, stop, err := serveSample(filepath.Join(sample, "feed"), out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	cfg.Fetch.AllowPrivate = append(cfg.Fetch.AllowPrivate, "127.0.0.0/8")
	p, err := a.openPipeline(ctx, cfg, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close(context.WithoutCancel(ctx))) }()
	events, truths, err := sampleEpisodes(ctx, base, sample)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.err, "%d episodes of %s/feed.xml, all at once\n", len(events), base)
	d := &demoRun{pipeline: p, progress: newProgress(a.err), truths: truths, outcomes: map[episode.ID]outcome{}}
	began := time.Now()
	if err := d.work(ctx, events); err != nil {
		return err
	}
	d.progress.wait()
	took := time.Since(began)
	for _, ev := range events {
		o := d.outcomes[ev.ID]
		if o.err == nil && o.Record != nil {
			o.err = p.export(ctx, out, truths[ev.ID].Slug, o.Record)
			d.outcomes[ev.ID] = o
		}
	}
	if a.format == "json" {
		return errors.Join(a.json(d.rows(events)), d.verdict(events))
	}
	d.print(a, events, took, out)
	return d.verdict(events)
}

// serveSample serves a sample feed on loopback. It keeps to the port of the
// last demo in out where it can, so that the same addresses mean the same
// episodes.
func serveSample(dir, out string) (base string, stop func() error, err error) {
	doc, err := os.ReadFile(filepath.Join(dir, "feed.xml"))
	if err != nil {
		return "", nil, err
	}
	remembered := filepath.Join(out, "address")
	last, _ := os.ReadFile(remembered) // absent at first
	l, err := net.Listen("tcp", cmp.Or(strings.TrimSpace(string(last)), "127.0.0.1:0"))
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", nil, fmt.Errorf("demo: serve the sample feed: %w", err)
	}
	if err := os.WriteFile(remembered, []byte(l.Addr().String()+"\n"), 0o644); err != nil {
		return "", nil, errors.Join(err, l.Close())
	}
	base = "http://" + l.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(dir)))
	mux.HandleFunc("/feed.xml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/rss+xml")
		_, _ = w.Write(bytes.ReplaceAll(doc, []byte("{{BASE}}"), []byte(base))) // a client that left is no matter
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	return base, func() error {
		err := s.Close()
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}, nil
}

// sampleEpisodes reads the served feed and the truth beside it. A revision is
// the item's publication, so that a second demo asks for the same editions.
func sampleEpisodes(ctx context.Context, base, sample string) ([]episode.Event, map[episode.ID]truth, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/feed.xml", nil)
	if err != nil {
		return nil, nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	podcast, err := feed.Parse(base+"/feed.xml", resp.Body, 1000)
	if err != nil {
		return nil, nil, err
	}
	files, err := filepath.Glob(filepath.Join(sample, "truth", "*.json"))
	if err != nil {
		return nil, nil, err
	}
	byID := map[episode.ID]truth{}
	for _, f := range files {
		t, err := readTruth(f)
		if err != nil {
			return nil, nil, err
		}
		byID[episode.NewID(podcast.GUID, t.GUID)] = t
	}
	var events []episode.Event
	for _, item := range podcast.Items {
		ev := item.Event
		if _, ok := byID[ev.ID]; !ok {
			return nil, nil, fmt.Errorf("demo: no truth beside the sample for %q", ev.Title)
		}
		ev.Revision = episode.Revision(ev.PublishedAt.UnixMilli())
		ev.FirstSeen = time.Now()
		events = append(events, ev)
	}
	return events, byID, nil
}

// work takes the events through the queue and a worker, as stream does.
func (d *demoRun) work(ctx context.Context, events []episode.Event) (err error) {
	q, err := queue.Open(ctx, d.pipeline.layout.queue, queue.Options{UntilEmpty: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	for _, ev := range events {
		if _, err := q.Publish(ctx, ev); err != nil {
			return err
		}
	}
	w := workers.New(d.enrich, q, workers.Options{MaxFailures: 2})
	return w.Run(ctx, workers.Lane{Name: "demo", Source: q, Slots: len(events)})
}

func (d *demoRun) enrich(ctx context.Context, delivery workers.Delivery) (workers.Outcome, error) {
	ev := delivery.Event
	observe, done := d.progress.episode(ev.Title, len(d.pipeline.graph().Nodes()))
	var o outcome
	o.Result, o.err = d.pipeline.enrich(ctx, ev, observe)
	done(o.err)
	d.mu.Lock()
	d.outcomes[ev.ID] = o
	d.mu.Unlock()
	if o.err != nil {
		return "", verdictError(o.err)
	}
	return workers.Enriched, nil
}

// verdict is nil when every node of every episode ran, was reused, or is a gap
// that the truth expects.
func (d *demoRun) verdict(events []episode.Event) error {
	var errs []error
	for _, ev := range events {
		t, o := d.truths[ev.ID], d.outcomes[ev.ID]
		switch {
		case o.err != nil:
			errs = append(errs, fmt.Errorf("demo: %s: %w", ev.Title, o.err))
			continue
		case o.Record == nil:
			errs = append(errs, fmt.Errorf("demo: %s: no record", ev.Title))
			continue
		}
		for _, g := range t.compare(o.Record).Unexpected {
			errs = append(errs, fmt.Errorf("demo: %s: unexpected gap: %s", ev.Title, g))
		}
		for _, n := range o.Report.Decisions {
			switch n.Status {
			case dag.Ran, dag.Reused, dag.Gapped:
			case dag.Skipped:
				if n.Node != "fetch" && n.Node != "decode" { // wanted only when another must run
					errs = append(errs, fmt.Errorf("demo: %s: %s was skipped: %s", ev.Title, n.Node, n.Reason))
				}
			default:
				errs = append(errs, fmt.Errorf("demo: %s: %s: %s: %s", ev.Title, n.Node, n.Status, n.Reason))
			}
		}
	}
	return exit(exitIncomplete, errors.Join(errs...))
}

// demoRow is one episode in the demo's JSON.
type demoRow struct {
	ID        episode.ID      `json:"id"`
	Slug      string          `json:"slug"`
	Title     string          `json:"title"`
	Record    *episode.Record `json:"record"`
	Closeness closeness       `json:"closeness"`
}

func (d *demoRun) rows(events []episode.Event) []demoRow {
	var rows []demoRow
	for _, ev := range events {
		t, o := d.truths[ev.ID], d.outcomes[ev.ID]
		if o.Record != nil {
			rows = append(rows, demoRow{ev.ID, t.Slug, ev.Title, o.Record, t.compare(o.Record)})
		}
	}
	return rows
}

func (d *demoRun) print(a *app, events []episode.Event, took time.Duration, out string) {
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nEPISODE\tLANG\tLENGTH\tWORDS (WER)\tSOUND EVENTS (FOUND)\tTOPICS\tADS (IoU)\tPREVIEW (OF HIGHLIGHT)\tLATENCY")
	var spans latency.Collector
	effect := map[string]bool{}
	for _, n := range d.pipeline.graph().Nodes() {
		effect[n.Name] = n.Effect
	}
	var ran, reused, gaps, effects, errorsIn, words int
	for _, ev := range events {
		o := d.outcomes[ev.ID]
		if o.Record == nil {
			fmt.Fprintf(t, "%s\t%v\n", clip(ev.Title, 28), o.err)
			continue
		}
		r, truth := o.Record, d.truths[ev.ID]
		c := truth.compare(r)
		spans.Add(r.Run)
		errorsIn, words = errorsIn+c.WordErrors, words+c.Words
		for _, n := range o.Report.Decisions {
			switch n.Status {
			case dag.Ran:
				if effect[n.Node] {
					effects++
				} else {
					ran++
				}
			case dag.Reused:
				reused++
			case dag.Gapped:
				gaps++
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.1fs\n", clip(ev.Title, 28), languageCell(r, c), minutes(r.Episode.Duration),
			wordsCell(r, c), eventsCell(r, c), topicsCell(r, c), adsCell(r, &truth, c), previewCell(r, c), float64(r.Run.Latency.FirstSeenToPreview))
	}
	_ = t.Flush() // the terminal's errors are its own
	fmt.Fprintf(a.out, "\n✓ and ✗: right and wrong by the truth beside the sample")
	if words > 0 {
		fmt.Fprintf(a.out, "; word error rate over all: %.1f %%", 100*float64(errorsIn)/float64(words))
	}
	fmt.Fprintf(a.out, "\n%d nodes ran, %d were reused, %d are gaps, and %d effects ran as they always do; all in %.1f s\n", ran, reused, gaps, effects, took.Seconds())
	if ran == 0 {
		fmt.Fprintln(a.out, "every artifact was reused")
	}
	if l := spans.Report().FirstSeenToPreview; l.Count > 0 {
		fmt.Fprintf(a.out, "first seen to preview: p50 %.1f s, p90 %.1f s, slowest %.1f s\n", l.P50, l.P90, l.Max)
	}
	for _, s := range d.pipeline.scheduler.Stats() {
		if s.Items > 0 {
			fmt.Fprintf(a.out, "  %-20s %5d items in %4d batches, %.1f each on average\n", s.Model, s.Items, s.Runs, s.MeanBatch())
		}
	}
	dir := out
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, out); err == nil {
			dir = rel
		}
	}
	fmt.Fprintf(a.out, "\nin %s: records/ transcripts/ previews/ index.db. Search: bin/earshot search --state %s penalty; play: any player, %s\n",
		dir, dir, filepath.Join(dir, "previews", "penalty-night-160.ogg"))
}

func mark(right bool) string {
	if right {
		return "✓"
	}
	return "✗"
}

func languageCell(r *episode.Record, c closeness) string {
	if r.Language == nil {
		return "–"
	}
	return r.Language.Code + " " + mark(c.Language)
}

func wordsCell(r *episode.Record, c closeness) string {
	if r.Transcript == nil {
		return "–"
	}
	n := 0
	for _, s := range r.Transcript.Segments {
		n += len(plainWords(s.Text))
	}
	return fmt.Sprintf("%d (%.0f %%)", n, 100*float64(c.WordErrors)/float64(max(1, c.Words)))
}

func eventsCell(r *episode.Record, c closeness) string {
	return fmt.Sprintf("%s (%d/%d)", clip(cmp.Or(strings.Join(labels(r.SoundEvents), ", "), "none"), 36), c.EventsFound, c.Events)
}

func topicsCell(r *episode.Record, c closeness) string {
	var names []string
	for _, t := range r.Topics {
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return "–"
	}
	return clip(strings.Join(names, ", "), 34) + " " + mark(c.Topic)
}

func adsCell(r *episode.Record, t *truth, c closeness) string {
	if len(r.Ads) == 0 && len(t.Ads) == 0 {
		return "none ✓"
	}
	return fmt.Sprintf("%d (%.2f)", len(r.Ads), c.AdOverlap)
}

func previewCell(r *episode.Record, c closeness) string {
	if r.Preview == nil {
		return "–"
	}
	return fmt.Sprintf("%s–%s (%.0f %%)", minutes(r.Preview.Start), minutes(r.Preview.End), 100*c.Highlight)
}
