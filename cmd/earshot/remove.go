package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

func newRemove(a *app) *cobra.Command {
	var reason string
	var revision int64
	var now bool
	c := &cobra.Command{
		Use:   "remove ID",
		Short: "Take an episode down: from search, from the origin and the CDNs, and from all that is kept",
		Long: `Take an episode down: from search, from the origin and the CDNs, and from all
that is kept.

The takedown goes the way of events, before all others, to a worker, which tries
until it is done and prints when the episode was gone from each place. With
--now it is done here and now instead. What was removed stays removed until a
newer revision is published.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, in []string) (err error) {
			r := episode.Removal{ID: episode.ID(in[0]), Revision: episode.Revision(max(revision, 1)), Reason: reason}
			if err := r.Check(); err != nil {
				return exit(exitUsage, err)
			}
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			state, err := a.stateFolder()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(state, 0o755); err != nil {
				return fmt.Errorf("state folder: %w", err)
			}
			ctx := cmd.Context()
			s, err := cfg.openSinks(ctx, cfg.layout(state), nil)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.closers.close(context.WithoutCancel(ctx))) }()
			m, err := cfg.openMessaging(ctx, cfg.layout(state), a.log())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, m.closers.close(context.WithoutCancel(ctx))) }()
			if revision == 0 {
				if r.Revision, err = revisionToRemove(ctx, s.index, r.ID, time.Now()); err != nil {
					return err
				}
			}
			if now {
				return a.removeNow(ctx, s, m, r)
			}
			if err := m.Remove(ctx, r); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s  revision %d: to be taken down by a worker\n", r.ID, r.Revision)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&reason, "reason", "", "why, for the audit log")
	f.Int64Var(&revision, "revision", 0, "this revision and all before it (default: all until now)")
	f.BoolVar(&now, "now", false, "do it here, without a worker")
	return c
}

func (a *app) removeNow(ctx context.Context, s *sinks, m *messaging, r episode.Removal) error {
	_, err := m.headsIn(s).Change(ctx, r.ID, func(e workers.Editions) workers.Editions { return e.TakenDown(r.Revision) })
	if err != nil {
		return err
	}
	line, err := s.takeDown(ctx, r, m, time.Now)
	if err != nil {
		return fmt.Errorf("%w; what is done stays done: repeat the command until it ends well", err)
	}
	if err := a.printAudit(line); err != nil {
		return err
	}
	if line.Outcome == workers.Overtaken {
		return fmt.Errorf("a newer revision of %s than %d is there, and stays", r.ID, r.Revision)
	}
	return nil
}
