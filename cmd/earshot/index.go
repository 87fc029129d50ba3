package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/elastic"
)

func newIndex(a *app) *cobra.Command {
	c := &cobra.Command{Use: "index", Short: "Look after the index: make it, and build it anew behind its aliases while searchers and writers go on"}
	c.AddCommand(
		a.onElasticsearch("create", "Make templates, indices and aliases, as far as they are missing",
			func(ctx context.Context, x *elastic.Index) (string, error) {
				pair, err := x.Create(ctx)
				return fmt.Sprintf("the aliases name pair %d", pair), err
			}),
		a.onElasticsearch("check", "Name all that keeps the index from being used",
			func(ctx context.Context, x *elastic.Index) (string, error) {
				return "the index is good", x.Check(ctx)
			}),
		a.onElasticsearch("reindex", "Copy the index into a new pair with this version's mapping; swap puts it in place",
			func(ctx context.Context, x *elastic.Index) (string, error) {
				pair, err := x.Reindex(ctx, a.copied)
				return fmt.Sprintf("pair %d is ready: 'earshot index swap' puts it in place", pair), err
			}),
		a.onElasticsearch("swap", "Let the newest finished pair take the current one's place, in one step",
			func(ctx context.Context, x *elastic.Index) (string, error) {
				old, now, err := x.Swap(ctx)
				return fmt.Sprintf("pair %d is in the place of pair %d, which stays, closed to writers, until you delete it", now, old), err
			}),
		newRebuild(a),
	)
	return c
}

func (a *app) copied(episodes int) { a.log().Info("copied", "episodes", episodes) }

// onElasticsearch is a command on an index in Elasticsearch.
func (a *app) onElasticsearch(name, short string, do func(context.Context, *elastic.Index) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			if !cfg.isElasticsearch() {
				return exit(exitUsage, fmt.Errorf("index %s: storage.index is no address of Elasticsearch; the embedded index makes itself and needs no such care", name))
			}
			x, err := cfg.openElasticsearch()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, x.Close()) }()
			said, err := do(cmd.Context(), x)
			if err == nil {
				fmt.Fprintln(a.out, said)
			}
			return err
		},
	}
}

func newRebuild(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rebuild",
		Short: "Build the index anew from the artifacts",
		Long: `Build the index anew from the artifacts: from each episode's last record. In
Elasticsearch it becomes a new pair, with what is newer in the current one,
removals too, and 'earshot index swap' puts it in place. The embedded index takes
the records as they are, and keeps what is newer.`,
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
			ctx := cmd.Context()
			s, err := cfg.openSinks(ctx, cfg.layout(state), nil)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.closers.close(context.WithoutCancel(ctx))) }()
			if x, ok := s.index.(*elastic.Index); ok {
				pair, err := x.Rebuild(ctx, s.documents(ctx), a.copied)
				if err == nil {
					fmt.Fprintf(a.out, "pair %d is ready: 'earshot index swap' puts it in place\n", pair)
				}
				return err
			}
			n := 0
			for d, err := range s.documents(ctx) {
				if err == nil {
					_, err = s.index.Put(ctx, d)
				}
				if err != nil {
					return err
				}
				n++
			}
			fmt.Fprintf(a.out, "%d %s\n", n, plural(n, "episode"))
			return nil
		},
	}
}

// documents are those of all episodes whose last record is kept.
func (s *sinks) documents(ctx context.Context) iter.Seq2[index.Document, error] {
	return func(yield func(index.Document, error) bool) {
		for page, err := range s.store.Pages(ctx) {
			var r *episode.Record
			if err == nil {
				r, err = s.lastRecord(ctx, page)
			}
			if errors.Is(err, fs.ErrNotExist) || err == nil && r == nil {
				continue // past its retention, or none was made
			}
			var d index.Document
			if err == nil {
				d = index.FromRecord(r)
			}
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

// lastRecord reads the record that a page of the ledger names; nil: none.
func (s *sinks) lastRecord(ctx context.Context, page []byte) (*episode.Record, error) {
	subject, known, err := dag.Known(page)
	if err != nil {
		return nil, err
	}
	d, ok := known["record"]
	if !ok || d.Hash == "" {
		return nil, nil
	}
	b, err := s.store.Part(subject).Read(ctx, d.Hash)
	if err != nil {
		return nil, err
	}
	r := new(episode.Record)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("the record %.12s: %w", d.Hash, err)
	}
	return r, nil
}
