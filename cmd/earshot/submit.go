package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/dag/episode"
)

func newSubmit(a *app) *cobra.Command {
	var backlog bool
	c := &cobra.Command{
		Use:   "submit FILE|URL|-…",
		Short: "Put episodes into the queue or the topic: audio files, addresses, or events as JSON from standard input",
		Args:  args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, inputs []string) (err error) {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			state, err := a.stateFolder()
			if err != nil {
				return err
			}
			var events []episode.Event
			for _, in := range inputs {
				if in == "-" {
					read, err := readEvents(cmd.InOrStdin())
					if err != nil {
						return exit(exitUsage, err)
					}
					events = append(events, read...)
					continue
				}
				ev, err := eventFor(in)
				if err != nil {
					return exit(exitUsage, err)
				}
				events = append(events, ev)
			}
			if err := os.MkdirAll(state, 0o755); err != nil {
				return fmt.Errorf("state folder: %w", err)
			}
			m, err := cfg.openMessaging(cmd.Context(), cfg.layout(state), a.log())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, m.closers.close(context.WithoutCancel(cmd.Context()))) }()
			local := func(ev episode.Event) bool { return strings.HasPrefix(ev.Enclosure.URL, "file:") }
			if !cfg.Fetch.LocalFiles && slices.ContainsFunc(events, local) {
				fmt.Fprintln(a.err, "earshot: files of this machine are taken by 'earshot stream --local-files' alone, or with fetch.local_files in the configuration")
			}
			for _, ev := range events {
				if backlog {
					ev.Priority = episode.Backlog
				}
				if err := m.Publish(cmd.Context(), ev); err != nil {
					return err
				}
				fmt.Fprintf(a.out, "%s  %s\n", ev.ID, ev.Title)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&backlog, "backlog", false, "let live episodes go first")
	return c
}

// readEvents reads one JSON event after another and checks each.
func readEvents(r io.Reader) ([]episode.Event, error) {
	var events []episode.Event
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	for {
		var ev episode.Event
		err := d.Decode(&ev)
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err == nil {
			err = ev.Check()
		}
		if err != nil {
			return nil, fmt.Errorf("standard input: event %d: %w", len(events)+1, err)
		}
		events = append(events, ev)
	}
}
