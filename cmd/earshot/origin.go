package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/artifact"
	"github.com/earshot-fm/earshot/workers/origin"
)

func newOrigin(a *app) *cobra.Command {
	c := &cobra.Command{Use: "origin", Short: "Look after what previews leave behind"}
	c.AddCommand(newGC(a))
	return c
}

// The kinds of artifacts that have retentions of their own.
const (
	keptEnclosure = "enclosures"
	keptArtifact  = "artifacts"
)

// collected is what a gc came to.
type collected struct {
	DryRun    bool             `json:"dry_run"`
	Origin    origin.GCReport  `json:"origin"`
	Artifacts artifact.Expired `json:"artifacts"`
}

func newGC(a *app) *cobra.Command {
	var dryRun bool
	var grace time.Duration
	c := &cobra.Command{
		Use:   "gc",
		Short: "Delete preview objects that no manifest names, and enclosures and artifacts past their retention",
		Long: `Delete preview objects that no manifest names, and enclosures and artifacts past
their retention (retention.enclosures and retention.artifacts of the
configuration; by default enclosures go after a week, all else stays). Keys stay:
what was made from a deleted artifact stays valid, and who needs the bytes again
makes them again. It may run beside workers.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			state, err := a.stateFolder()
			if err != nil {
				return err
			}
			s, err := cfg.openSinks(cmd.Context(), cfg.layout(state), nil)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.closers.close(context.WithoutCancel(cmd.Context()))) }()
			done := collected{DryRun: dryRun}
			var deleted func(string, int64)
			if a.verbose {
				deleted = func(name string, bytes int64) { fmt.Fprintf(a.err, "%s  %d bytes\n", name, bytes) }
			}
			var errs [2]error // one store's fault keeps nobody from tidying the other
			done.Origin, errs[0] = s.origin.GC(cmd.Context(), origin.GCOptions{Grace: grace, DryRun: dryRun, Deleted: deleted})
			done.Artifacts, errs[1] = s.store.Expire(cmd.Context(), cfg.Retention.expiry(dryRun, deleted))
			if err := a.printCollected(done); err != nil {
				return err
			}
			return errors.Join(errs[:]...)
		},
	}
	f := c.Flags()
	f.BoolVar(&dryRun, "dry-run", false, "only say what would be deleted (-v: each)")
	f.DurationVar(&grace, "grace", 24*time.Hour, "leave preview objects alone for this long after they were written")
	return c
}

// expiry says which artifacts are past their time.
func (r retentionConfig) expiry(dryRun bool, deleted func(name string, bytes int64)) artifact.Expiry {
	e := artifact.Expiry{
		Keep:   map[string]time.Duration{},
		DryRun: dryRun,
		Kinds: func(doc []byte) (map[string]string, error) {
			made, err := dag.Made(doc)
			kinds := map[string]string{}
			for node, hashes := range made {
				for _, hash := range hashes {
					kinds[hash] = keptArtifact
					if node == "fetch" {
						kinds[hash] = keptEnclosure
					}
				}
			}
			return kinds, err
		},
	}
	if deleted != nil {
		e.Deleted = func(hash, kind string, bytes int64) { deleted(kind+" "+hash, bytes) }
	}
	if r.Enclosures > 0 {
		// What no run that ended names is of one that was overtaken or killed: its
		// enclosure is among it.
		e.Keep[keptEnclosure], e.Keep[artifact.Unnamed] = r.Enclosures, r.Enclosures
	}
	if r.Artifacts > 0 {
		e.Keep[keptArtifact] = r.Artifacts
	}
	return e
}

func (a *app) printCollected(c collected) error {
	if a.format == "json" {
		return a.json(c)
	}
	done := "deleted"
	if c.DryRun {
		done = "would be deleted"
	}
	line := func(what string, objects, bytes int64) {
		fmt.Fprintf(a.out, "%-32s %8d  %10.1f MB\n", what, objects, float64(bytes)/1e6)
	}
	fmt.Fprintf(a.out, "%d %s\n", c.Origin.Manifests, plural(int(c.Origin.Manifests), "manifest"))
	line("previews named by one", c.Origin.Named.Objects, c.Origin.Named.Bytes)
	line("previews too recent to judge", c.Origin.Recent.Objects, c.Origin.Recent.Bytes)
	line("previews "+done, c.Origin.Deleted.Objects, c.Origin.Deleted.Bytes)
	for _, of := range []struct{ kind, what string }{{keptEnclosure, "enclosures"}, {artifact.Unnamed, "of runs that did not end"}, {keptArtifact, "artifacts"}} {
		t := c.Artifacts.Deleted[of.kind]
		line(of.what+" "+done, t.Objects, t.Bytes)
	}
	var kept artifact.Tally
	for _, t := range c.Artifacts.Kept {
		kept.Objects += t.Objects
		kept.Bytes += t.Bytes
	}
	line("artifacts and enclosures kept", kept.Objects, kept.Bytes)
	return nil
}
