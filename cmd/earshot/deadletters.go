package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/workers"
)

// letterFilter says which dead letters a command is about; what is not set
// lets all through.
type letterFilter struct {
	ids           []string
	node, reason  string
	podcast       string
	after, before string

	filedAfter, filedBefore time.Time
}

func (f *letterFilter) flags(c *cobra.Command) {
	s := c.Flags()
	s.StringVar(&f.node, "node", "", "only those that this node rejected")
	s.StringVar(&f.reason, "reason", "", "only those whose reason contains this, in any case")
	s.StringVar(&f.podcast, "podcast", "", "only of this podcast, by guid")
	s.StringVar(&f.after, "after", "", "only those filed at this time or later (2026-11-23 or 2026-11-23T12:00:00Z)")
	s.StringVar(&f.before, "before", "", "only those filed before this time")
}

func (f *letterFilter) parse(ids []string) error {
	f.ids = ids
	for _, d := range []struct {
		flag, text string
		into       *time.Time
	}{{"--after", f.after, &f.filedAfter}, {"--before", f.before, &f.filedBefore}} {
		if d.text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, d.text)
		if err != nil {
			t, err = time.Parse(time.DateOnly, d.text)
		}
		if err != nil {
			return exit(exitUsage, fmt.Errorf("%s %q: want a time such as 2026-11-23 or 2026-11-23T12:00:00Z", d.flag, d.text))
		}
		*d.into = t
	}
	return nil
}

func (f *letterFilter) matches(l workers.DeadLetter) bool {
	named := len(f.ids) == 0
	for _, id := range f.ids {
		named = named || id == l.ID || id == string(l.Event.ID)
	}
	return named &&
		(f.node == "" || f.node == l.Node) &&
		strings.Contains(strings.ToLower(l.Reason), strings.ToLower(f.reason)) &&
		(f.podcast == "" || f.podcast == l.Event.Podcast) &&
		!l.Filed.Before(f.filedAfter) &&
		(f.filedBefore.IsZero() || l.Filed.Before(f.filedBefore))
}

func newDeadLetters(a *app) *cobra.Command {
	c := &cobra.Command{Use: "deadletters", Short: "Look through what was rejected, and deliver it again or drop it"}
	c.AddCommand(
		a.listLetters(),
		a.showLetters(),
		a.settleLetters("replay", "Deliver rejected events again, as new", workers.Replay),
		a.settleLetters("drop", "Take dead letters away for ever", workers.Drop),
	)
	return c
}

func (a *app) listLetters() *cobra.Command {
	var f letterFilter
	c := &cobra.Command{
		Use:   "list [ID…]",
		Short: "List dead letters, a line each; IDs are those of letters or of episodes",
		RunE: func(cmd *cobra.Command, ids []string) error {
			if err := f.parse(ids); err != nil {
				return err
			}
			t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			if a.format == "text" {
				fmt.Fprintln(t, "LETTER\tFILED\tNODE\tREASON\tATTEMPTS\tTITLE")
			}
			n := 0
			err := a.sift(cmd.Context(), func(l workers.DeadLetter) (workers.Fate, error) {
				if !f.matches(l) {
					return workers.Keep, nil
				}
				n++
				if a.format == "json" {
					return workers.Keep, a.jsonLine(presentable(l))
				}
				_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", l.ID, l.Filed.Local().Format(time.DateTime), l.Node, l.Reason, l.Attempts, clip(l.Event.Title, 40))
				return workers.Keep, err
			})
			if a.format == "text" {
				err = errors.Join(err, t.Flush())
				fmt.Fprintf(a.out, "%d %s\n", n, plural(n, "letter"))
			}
			return err
		},
	}
	f.flags(c)
	return c
}

func (a *app) showLetters() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Print a dead letter whole: the event, what rejected it, and why",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			f := letterFilter{ids: ids}
			found := false
			err := a.sift(cmd.Context(), func(l workers.DeadLetter) (workers.Fate, error) {
				if !f.matches(l) {
					return workers.Keep, nil
				}
				found = true
				return workers.Keep, a.json(presentable(l))
			})
			if err == nil && !found {
				err = fmt.Errorf("deadletters show: no letter %s; 'earshot deadletters list' lists them", ids[0])
			}
			return err
		},
	}
}

func (a *app) settleLetters(name, short string, fate workers.Fate) *cobra.Command {
	var f letterFilter
	var all, dryRun bool
	c := &cobra.Command{
		Use:   name + " [ID…]",
		Short: short,
		RunE: func(cmd *cobra.Command, ids []string) error {
			if err := f.parse(ids); err != nil {
				return err
			}
			filtered := len(ids) > 0 || f.node != "" || f.reason != "" || f.podcast != "" || f.after != "" || f.before != ""
			if filtered == all {
				return exit(exitUsage, fmt.Errorf("deadletters %s: say which letters: either by ids and filters, or --all", name))
			}
			n, malformed := 0, 0
			err := a.sift(cmd.Context(), func(l workers.DeadLetter) (workers.Fate, error) {
				if !f.matches(l) {
					return workers.Keep, nil
				}
				if fate == workers.Replay && l.Reason == workers.Malformed {
					malformed++
					return workers.Keep, nil
				}
				n++
				fmt.Fprintf(a.out, "%s  %s: %s\n", l.ID, l.Reason, clip(l.Event.Title, 40))
				if dryRun {
					return workers.Keep, nil
				}
				return fate, nil
			})
			done := map[workers.Fate]string{workers.Replay: "to be delivered again", workers.Drop: "dropped"}[fate]
			if dryRun {
				done = "would be " + strings.TrimPrefix(done, "to be ")
			}
			fmt.Fprintf(a.out, "%d %s %s\n", n, plural(n, "letter"), done)
			if err == nil && len(ids) > 0 && n+malformed == 0 {
				err = fmt.Errorf("deadletters %s: there is no such letter; 'earshot deadletters list' lists them", name)
			}
			if malformed > 0 {
				fmt.Fprintf(a.out, "%d malformed %s cannot be delivered again: 'earshot deadletters drop --reason malformed'\n", malformed, plural(malformed, "letter"))
			}
			return err
		},
	}
	f.flags(c)
	c.Flags().BoolVar(&all, "all", false, "all letters there are")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say which")
	return c
}

// presentable is a letter without the addresses of a private feed.
func presentable(l workers.DeadLetter) workers.DeadLetter {
	if !l.Event.Private {
		return l
	}
	l.Event.Enclosure.URL = l.Event.ShownEnclosure()
	l.Event.Transcripts, l.Event.Chapters, l.Raw = nil, nil, nil
	return l
}

// sift passes over the dead letters of the configured queue.
func (a *app) sift(ctx context.Context, decide func(workers.DeadLetter) (workers.Fate, error)) (err error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	state, err := a.stateFolder()
	if err != nil {
		return err
	}
	m, err := cfg.openMessaging(ctx, cfg.layout(state), a.log())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.closers.close(context.WithoutCancel(ctx))) }()
	return m.letters.Sift(ctx, decide)
}
