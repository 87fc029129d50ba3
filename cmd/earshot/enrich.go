package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	bcp47 "golang.org/x/text/language"

	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
)

func newEnrich(a *app) *cobra.Command {
	var o struct {
		out, title, description string
		language, metrics       string
		targets, force          []string
		ping                    bool
	}
	c := &cobra.Command{
		Use:   "enrich FILE|URL…",
		Short: "Take audio files or addresses through the graph and print their records",
		Long: `Take audio files or addresses through the graph and print their records.

A file is another edition when it was changed; an address is fetched once and
then reused, until "--force fetch" asks for it again. With --out, each record,
its transcript (WebVTT, SRT, Podcasting 2.0 JSON) and its preview are written
to a folder.`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, inputs []string) (err error) {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			state, err := a.stateFolder()
			if err != nil {
				return err
			}
			if o.language != "" {
				if _, err := bcp47.Parse(o.language); err != nil {
					return exit(exitUsage, fmt.Errorf("--language %q: want a language tag such as en or pt-BR (BCP 47)", o.language))
				}
			}
			for _, folder := range []string{o.out, filepath.Dir(o.metrics)} { // before there is work to lose
				if folder == "" {
					continue
				}
				if err := os.MkdirAll(folder, 0o755); err != nil {
					return exit(exitUsage, err)
				}
			}
			events := make([]episode.Event, len(inputs))
			for i, in := range inputs {
				ev, err := eventFor(in)
				if err != nil {
					return exit(exitUsage, err)
				}
				ev.Title = cmp.Or(o.title, ev.Title)
				ev.Description, ev.Language = o.description, o.language
				ev.Control = episode.Control{Targets: o.targets, Force: o.force, Ping: o.ping}
				events[i] = ev
			}
			cfg.Fetch.LocalFiles = true // whoever names a file here may read it
			p, err := a.openPipeline(cmd.Context(), cfg, state)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, p.close(context.WithoutCancel(cmd.Context()))) }()
			if err := p.knowsNodes("--target", o.targets); err != nil {
				return err
			}
			if err := p.knowsNodes("--force", o.force); err != nil {
				return err
			}
			prog := newProgress(a.err)
			results := p.enrichAll(cmd.Context(), prog, events)
			prog.wait()
			var errs []error
			if o.metrics != "" {
				errs = append(errs, prometheus.WriteToTextfile(o.metrics, p.metrics))
			}
			names := exportNames(events)
			for i, r := range results {
				if r.err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", inputs[i], failure(r.err)))
					continue
				}
				if o.ping || r.Record == nil {
					printDecisions(a.out, r.Report)
					continue
				}
				if err := a.json(r.Record); err != nil {
					return err
				}
				if o.out != "" {
					errs = append(errs, p.export(cmd.Context(), o.out, names[i], r.Record))
				}
			}
			return errors.Join(errs...)
		},
	}
	a.modelsFlag(c)
	a.devicesFlag(c)
	f := c.Flags()
	f.StringVar(&o.out, "out", "", "folder for records, transcripts and previews")
	f.StringVar(&o.title, "title", "", "the episode's title (default: the file's name)")
	f.StringVar(&o.description, "description", "", "the episode's description")
	f.StringVar(&o.language, "language", "", "what the publisher says is spoken (BCP 47): settles what the language model leaves open")
	f.StringSliceVar(&o.targets, "target", nil, "only these nodes, and what they need")
	f.StringSliceVar(&o.force, "force", nil, "run these nodes although their result is stored")
	f.StringVar(&o.metrics, "metrics", "", "write the run's metrics to a file, as Prometheus text")
	f.BoolVar(&o.ping, "ping", false, "only say what would run")
	return c
}

// eventFor makes an event for a file or an address named on a command line.
func eventFor(in string) (episode.Event, error) {
	u, err := url.Parse(in)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		base := filepath.Base(u.Path)
		return episode.Event{
			ID: episode.NewID("", in), Title: strings.TrimSuffix(base, filepath.Ext(base)),
			Revision: 1, Enclosure: episode.Enclosure{URL: in},
		}, nil
	}
	if strings.Contains(in, "://") {
		return episode.Event{}, fmt.Errorf("%s: neither an http or https address nor a file", episode.Redact(in))
	}
	path, err := filepath.Abs(in)
	if err != nil {
		return episode.Event{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return episode.Event{}, err
	}
	if !info.Mode().IsRegular() {
		return episode.Event{}, fmt.Errorf("%s is no regular file", in)
	}
	base := filepath.Base(path)
	return episode.Event{
		ID:        episode.NewID("", path),
		Title:     strings.TrimSuffix(base, filepath.Ext(base)),
		Revision:  episode.Revision(max(1, info.ModTime().UnixMilli())),
		Enclosure: episode.Enclosure{URL: (&url.URL{Scheme: "file", Path: path}).String(), Bytes: info.Size()},
	}, nil
}

// knowsNodes checks the nodes that a flag names.
func (p *pipeline) knowsNodes(flag string, names []string) error {
	var has []string
	for _, n := range p.graph().Nodes() {
		has = append(has, n.Name)
	}
	slices.Sort(has)
	for _, name := range names {
		if !slices.Contains(has, name) {
			return exit(exitUsage, fmt.Errorf("%s %s: the graph has no such node (has %s)", flag, name, strings.Join(has, ", ")))
		}
	}
	return nil
}

// outcome is one event's result, or why there is none.
type outcome struct {
	enrich.Result
	err error
}

// enrichAll takes events through the graph, at most as many at a time as the
// configuration has slots.
func (p *pipeline) enrichAll(ctx context.Context, prog *progress, events []episode.Event) []outcome {
	out := make([]outcome, len(events))
	slots := make(chan struct{}, p.config.Worker.Slots)
	var wg sync.WaitGroup
	for i, ev := range events {
		if ev.FirstSeen.IsZero() {
			ev.FirstSeen = time.Now()
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			observe, done := prog.episode(ev.Title, len(p.graph().Nodes()))
			out[i].Result, out[i].err = p.enrich(ctx, ev, observe)
			if out[i].err == nil && out[i].Overtaken {
				out[i].err = p.forgetRemoved(ctx, ev)
			}
			done(out[i].err)
		})
	}
	wg.Wait()
	return out
}

// forgetRemoved deletes what was made of an event whose episode was taken down,
// and says so.
func (p *pipeline) forgetRemoved(ctx context.Context, ev episode.Event) error {
	entry, err := p.index.Get(ctx, ev.ID)
	if err != nil || !entry.Removed {
		return err
	}
	if err := p.graph().Forget(ctx, ev.ID, false); err != nil {
		return err
	}
	return fmt.Errorf("%s was taken down at revision %d, and this is revision %d: nothing of it is kept", ev.ID, entry.Version.Revision, ev.Revision)
}

// export writes a record, its transcript and its preview under a folder.
func (p *pipeline) export(ctx context.Context, dir, name string, r *episode.Record) error {
	files := map[string][]byte{}
	var err error
	if files["records/"+name+".json"], err = episode.Marshal(r); err != nil {
		return err
	}
	if t := r.Transcript; t != nil {
		files["transcripts/"+name+".vtt"] = t.WebVTT()
		files["transcripts/"+name+".srt"] = t.SRT()
		if files["transcripts/"+name+".json"], err = t.PodcastJSON(); err != nil {
			return err
		}
	}
	if r.Preview != nil {
		for _, rendition := range r.Preview.Renditions {
			b, err := p.readObject(ctx, rendition.Object)
			if err != nil {
				return err
			}
			files[fmt.Sprintf("previews/%s-%d.%s", name, rendition.BitrateKbps, rendition.Container)] = b
		}
	}
	for file, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// exportNames name the files of each episode by its title, and where several
// have one title, by their ids too.
func exportNames(events []episode.Event) []string {
	names := make([]string, len(events))
	count := map[string]int{}
	for i, ev := range events {
		names[i] = slug(ev.Title)
		count[names[i]]++
	}
	for i, ev := range events {
		if count[names[i]] > 1 {
			names[i] += "-" + string(ev.ID)[:8]
		}
	}
	return names
}

// slug makes a title fit to name a file.
func slug(title string) string {
	s := strings.Join(strings.FieldsFunc(strings.ToLower(title), func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127)
	}), "-")
	return cmp.Or(clip(s, 80), "episode")
}
