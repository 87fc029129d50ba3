package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
)

func newSearch(a *app) *cobra.Command {
	var q index.Query
	var from, before string
	c := &cobra.Command{
		Use:   "search [QUERY]",
		Short: "Search titles, descriptions and transcripts; without a query list episodes",
		Long: `Search titles, descriptions and transcripts; without a query list episodes.

Words must all occur; "quotes" make a phrase, goal* finds goalkeeper, -word
excludes.`,
		RunE: func(cmd *cobra.Command, words []string) (err error) {
			q.Text = strings.Join(words, " ")
			for _, d := range []struct {
				flag, text string
				into       *time.Time
			}{{"--from", from, &q.PublishedFrom}, {"--before", before, &q.PublishedBefore}} {
				if d.text == "" {
					continue
				}
				if *d.into, err = time.Parse(time.DateOnly, d.text); err != nil {
					return exit(exitUsage, fmt.Errorf("%s %q: want a date such as 2026-11-23", d.flag, d.text))
				}
			}
			if a.format == "text" {
				q.Open, q.Close = "[", "]"
			} else {
				q.Open, q.Close = "<em>", "</em>"
			}
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			state, err := a.stateFolder()
			if err != nil {
				return err
			}
			l := cfg.layout(state)
			if _, err := os.Stat(l.index); errors.Is(err, fs.ErrNotExist) && !cfg.isElasticsearch() {
				return exit(exitUsage, fmt.Errorf("search: no index is there yet (%s): enrich an episode first, or name another folder with --state", l.index))
			}
			idx, err := cfg.openIndex(cmd.Context(), l)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, idx.Close()) }()
			page, err := idx.Search(cmd.Context(), q)
			if _, ok := errors.AsType[*index.QueryError](err); ok {
				return exit(exitUsage, err)
			}
			if errors.Is(err, index.ErrNotFound) {
				return fmt.Errorf("--like %s: the index holds no such episode", q.Like)
			}
			if err != nil {
				return err
			}
			if a.format == "json" {
				return a.json(page)
			}
			printPage(a.out, page, q.Like != "")
			return nil
		},
	}
	f := c.Flags()
	f.StringVar((*string)(&q.Like), "like", "", "episodes most like this one, by id: their embeddings are compared")
	f.StringVar(&q.Language, "language", "", "only this language (BCP 47)")
	f.StringVar(&q.Topic, "topic", "", "only this topic, by name or id")
	f.StringVar(&q.Event, "event", "", "only with this sound event, by name or AudioSet id")
	f.StringVar(&q.Podcast, "podcast", "", "only this podcast, by guid")
	f.StringVar(&from, "from", "", "published on this day or later (2026-11-23)")
	f.StringVar(&before, "before", "", "published before this day")
	f.IntVar(&q.Limit, "limit", 10, "episodes to show")
	f.IntVar(&q.Offset, "offset", 0, "episodes to skip")
	return c
}

func printPage(w io.Writer, page index.Page, likeness bool) {
	for _, h := range page.Hits {
		if likeness {
			fmt.Fprintf(w, "%5.2f  ", h.Score)
		}
		fmt.Fprintf(w, "%s  (%s, %s)  %s\n", printable(h.Title), h.Language, minutes(h.Duration), h.ID)
		for _, m := range h.Moments {
			fmt.Fprintf(w, "    %s  %s\n", minutes(m.Start), printable(m.Text))
		}
	}
	fmt.Fprintf(w, "%d %s", page.Total, plural(page.Total, "episode"))
	for _, f := range []struct {
		name   string
		values []index.Facet
	}{{"language", page.Facets.Language}, {"topic", page.Facets.Topic}, {"event", page.Facets.Event}} {
		if len(f.values) == 0 {
			continue
		}
		fmt.Fprintf(w, "; %s:", f.name)
		for _, v := range f.values[:min(6, len(f.values))] {
			fmt.Fprintf(w, " %s %d", printable(v.Value), v.Count)
		}
	}
	fmt.Fprintln(w)
}

// minutes writes a position as m:ss.
func minutes(s episode.Seconds) string {
	return fmt.Sprintf("%d:%02d", int(s)/60, int(s)%60)
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
