package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/dag/episode"
)

func newEval(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "eval DIR",
		Short: "Enrich a folder of audio that has truth files, and say how near the records came",
		Long: `Enrich a folder of audio that has truth files, and say how near the records
came to them.

The truth about talk.mp3 is talk.json (schema earshot.truth/1, as in
sample/truth), else talk.vtt, talk.srt or talk.json (a transcript), else talk.txt
(the words alone), beside it or in a folder "truth" below DIR. What a truth does
not say is left out, not counted as zero; audio without a truth is left out too.

Word error rate: ` + wordsCounted + `.
Speech: F1 of 10 ms frames. Sound events and ads: F1 of segments of 1 s; sounds
of labels that some truth of the folder names. Topics: the best, and the best
three. Highlight: whether the preview holds 90 % of it, beside how often a span
of its length would anywhere, and the first minute. Each run starts from nothing,
so that the real-time factor (seconds of work a second of audio, of the run as a
whole) is that of the work.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, dirs []string) error { return a.eval(cmd.Context(), dirs[0]) },
	}
	a.modelsFlag(c)
	a.devicesFlag(c)
	return c
}

// evaluated is one episode's part of an evaluation, and eval's JSON.
type evaluated struct {
	File string `json:"file"`
	figures
	Duration       episode.Seconds `json:"duration"`
	RealTimeFactor float64         `json:"real_time_factor"`
	Unjudged       []string        `json:"unjudged_sounds,omitempty"` // labels that no truth names
	Error          string          `json:"error,omitempty"`
}

type evaluation struct {
	Schema         string      `json:"schema"` // "earshot.eval/1"
	Models         []string    `json:"models"` // that ran
	Words          string      `json:"words_counted"`
	Episodes       []evaluated `json:"episodes"`
	Total          figures     `json:"total"`
	Duration       float64     `json:"duration"`
	RealTimeFactor float64     `json:"real_time_factor"`
}

func (a *app) eval(ctx context.Context, dir string) (err error) {
	cases, err := findCases(dir)
	if err != nil {
		return exit(exitUsage, err)
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	cfg.Fetch.LocalFiles = true
	cfg.Storage = storageConfig{}
	state, err := os.MkdirTemp("", "earshot-eval-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(state)) }()
	p, err := a.openPipeline(ctx, cfg, state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close(context.WithoutCancel(ctx))) }()
	spec, err := cfg.spec(p.wired.catalog)
	if err != nil {
		return exit(exitUsage, err)
	}
	e := evaluation{Schema: "earshot.eval/1", Words: wordsCounted}
	languages := map[string][]string{}
	for _, n := range spec.Nodes {
		if n.Model == "" || !n.Enabled {
			continue
		}
		m, err := p.wired.catalog.Get(n.Model)
		if err != nil {
			return err
		}
		e.Models = append(e.Models, m.Manifest.Ref())
		languages[n.Name] = m.Manifest.Languages
	}
	events := make([]episode.Event, len(cases))
	labels := map[string]bool{}
	for i, c := range cases {
		if events[i], err = eventFor(c.audio); err != nil {
			return err
		}
		events[i].Title = cmp.Or(c.truth.Title, events[i].Title)
		events[i].Control.Targets = []string{"record"}
		for _, s := range c.truth.SoundEvents {
			labels[s.Label] = true
		}
	}
	prog := newProgress(a.err)
	began := time.Now()
	outcomes := p.enrichAll(ctx, prog, events)
	took := time.Since(began).Seconds()
	prog.wait()
	var errs []error
	for i, o := range outcomes {
		row := evaluated{File: cases[i].name}
		if o.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", cases[i].name, failure(o.err)))
			row.Error = o.err.Error()
			e.Episodes = append(e.Episodes, row)
			continue
		}
		j := judged{truth: cases[i].truth, record: o.Record, labels: labels, reads: languages["transcript"], readsFor: languages["topics"]}
		if j.speech, err = p.speechOf(ctx, o); err != nil {
			return err
		}
		row.figures = j.figures()
		row.Duration = o.Record.Episode.Duration
		row.RealTimeFactor = four(o.Report.Took.Seconds() / float64(row.Duration))
		for _, s := range o.Record.SoundEvents {
			if j.truth.SoundEvents != nil && !labels[s.Label] && !slices.Contains(row.Unjudged, s.Label) {
				row.Unjudged = append(row.Unjudged, s.Label)
			}
		}
		e.Total.sum(row.figures)
		e.Duration += float64(row.Duration)
		e.Episodes = append(e.Episodes, row)
	}
	if e.Duration > 0 {
		e.RealTimeFactor = four(took / e.Duration)
	}
	if a.format == "json" {
		return errors.Join(a.json(e), errors.Join(errs...))
	}
	return errors.Join(e.print(a), errors.Join(errs...))
}

// speechOf reads what the speech node of a run found.
func (p *pipeline) speechOf(ctx context.Context, o outcome) ([]episode.Span, error) {
	d := o.Report.Decision("speech")
	if d.Hash == "" {
		return nil, nil
	}
	r, err := p.store.Part(o.Report.Subject).Open(ctx, d.Hash)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var spans []episode.Span
	return spans, json.NewDecoder(r).Decode(&spans)
}

// testCase is an audio file and what is true of it.
type testCase struct {
	name, audio string
	truth       truth
}

// audioExtensions are those of files that may be episodes.
var audioExtensions = []string{".mp3", ".m4a", ".aac", ".mp4", ".ogg", ".oga", ".opus", ".flac", ".wav"}

// findCases lists the audio files of a folder that have a truth.
func findCases(dir string) ([]testCase, error) {
	if found, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	} else if !found.IsDir() {
		return nil, fmt.Errorf("eval: %s is a file: name the folder that has it and its truth", dir)
	}
	var cases []testCase
	var without []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains(audioExtensions, strings.ToLower(filepath.Ext(path))) {
			return err
		}
		stem := strings.TrimSuffix(path, filepath.Ext(path))
		for _, base := range []string{stem, filepath.Join(dir, "truth", filepath.Base(stem))} {
			t, ok, err := findTruth(base)
			if err != nil {
				return err
			}
			if ok {
				name, err := filepath.Rel(dir, path)
				cases = append(cases, testCase{name, path, t})
				return err
			}
		}
		without = append(without, path)
		return nil
	})
	if err == nil && len(cases) == 0 {
		err = fmt.Errorf("eval: %s: no audio with a truth is there (%d files of audio without): a truth is NAME.json, .vtt, .srt or .txt beside NAME.mp3, or in %s", dir, len(without), filepath.Join(dir, "truth"))
	}
	return cases, err
}

// findTruth reads the truth of a name without its extension.
func findTruth(base string) (t truth, ok bool, err error) {
	for _, extension := range []string{".json", ".vtt", ".srt", ".txt"} {
		b, err := os.ReadFile(base + extension)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return t, false, err
		}
		var head struct {
			Schema string `json:"schema"`
		}
		switch {
		case extension == ".txt":
			t.text = strings.TrimSpace(episode.DocumentText(b))
		case extension == ".json" && json.Unmarshal(b, &head) == nil && head.Schema != "":
			t, err = readTruth(base + extension)
		default:
			t.Segments, err = episode.ReadCaptions(b)
		}
		if err == nil {
			err = t.check()
		}
		if err != nil {
			return t, false, fmt.Errorf("eval: %s: %w", base+extension, err)
		}
		return t, true, nil
	}
	return t, false, nil
}

func (e *evaluation) print(a *app) error {
	fmt.Fprintf(a.out, "models: %s\n\n", strings.Join(e.Models, ", "))
	columns := []struct {
		head string
		cell func(figures) string
	}{
		{"WER", func(f figures) string {
			return cell(f.Words, func(w *wordCount) string { return fmt.Sprintf("%.3f (%d)", w.WER, w.Words) })
		}},
		{"SPEECH F1", func(f figures) string { return cell(f.Speech, detectionCell) }},
		{"LANGUAGE", func(f figures) string { return cell(f.Language, shareCell) }},
		{"SOUNDS F1", func(f figures) string { return cell(f.Sounds, detectionCell) }},
		{"TOPIC 1", func(f figures) string { return cell(f.Topic1, shareCell) }},
		{"TOPIC 3", func(f figures) string { return cell(f.Topic3, shareCell) }},
		{"ADS F1", func(f figures) string { return cell(f.Ads, detectionCell) }},
		{"HIGHLIGHT (CHANCE, FIRST MINUTE)", func(f figures) string {
			return cell(f.Highlight, func(h *highlighted) string {
				return fmt.Sprintf("%d/%d (%.2f, %.2f)", h.Inside, h.Of, h.Chance, h.FirstMinute)
			})
		}},
	}
	columns = slices.DeleteFunc(columns, func(c struct {
		head string
		cell func(figures) string
	}) bool {
		return c.cell(e.Total) == "–"
	})
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "EPISODE")
	for _, c := range columns {
		fmt.Fprintf(t, "\t%s", c.head)
	}
	fmt.Fprintln(t, "\tLENGTH\tRTF")
	row := func(name string, f figures, length, factor float64) {
		fmt.Fprint(t, name)
		for _, c := range columns {
			fmt.Fprintf(t, "\t%s", c.cell(f))
		}
		fmt.Fprintf(t, "\t%s\t%.3f\n", minutes(episode.Seconds(length)), factor)
	}
	unjudged := map[string]bool{}
	for _, r := range e.Episodes {
		if r.Error != "" {
			fmt.Fprintf(t, "%s\t%s\n", r.File, r.Error)
			continue
		}
		row(r.File, r.figures, float64(r.Duration), r.RealTimeFactor)
		for _, label := range r.Unjudged {
			unjudged[label] = true
		}
	}
	row("all", e.Total, e.Duration, e.RealTimeFactor)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\nWER counts %s.\n", wordsCounted)
	if len(unjudged) > 0 {
		names := make([]string, 0, len(unjudged))
		for l := range unjudged {
			names = append(names, l)
		}
		slices.Sort(names)
		fmt.Fprintf(a.out, "Heard besides, under labels that no truth names, and not counted: %s.\n", strings.Join(names, ", "))
	}
	return nil
}

func cell[T any](v *T, show func(*T) string) string {
	if v == nil {
		return "–"
	}
	return show(v)
}

func detectionCell(d *detection) string { return fmt.Sprintf("%.3f", d.F1) }
func shareCell(s *share) string         { return fmt.Sprintf("%d/%d", s.Right, s.Of) }
