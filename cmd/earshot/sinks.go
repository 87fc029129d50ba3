package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/earshot-fm/earshot/dag/artifact"
	"github.com/earshot-fm/earshot/workers/heads"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/sqlite"
	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/bucket"
)

// sinks are where what lasts is kept: artifacts, index, origin.
type sinks struct {
	artifacts origin.Store // of store and heads
	index     index.Index
	origin    *origin.Origin
	store     *artifact.Store
	heads     *heads.Heads

	closers closers
}

// closers release what was opened, the last first.
type closers []func(context.Context) error

func (c *closers) add(f func(context.Context) error) { *c = append(*c, f) }

func (c *closers) close(ctx context.Context) error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i](ctx))
	}
	*c = nil
	return errors.Join(errs...)
}

// openSinks opens them as the configuration says. The caller closes closers.
func (c *config) openSinks(ctx context.Context, l layout, registry prometheus.Registerer) (_ *sinks, err error) {
	s := &sinks{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closers.close(context.WithoutCancel(ctx)))
		}
	}()
	artifacts, err := bucket.Open(ctx, l.artifacts)
	if err != nil {
		return nil, fmt.Errorf("artifact store: %w", err)
	}
	s.closers.add(func(context.Context) error { return artifacts.Close() })
	s.artifacts = artifacts
	s.store, s.heads = artifact.New(artifacts.Bucket, l.scratch), heads.New(artifacts.Bucket)

	published, err := bucket.Open(ctx, l.origin)
	if err != nil {
		return nil, fmt.Errorf("origin: %w", err)
	}
	s.closers.add(func(context.Context) error { return published.Close() })
	purgers, err := c.purgers(ctx)
	var told []origin.Purger
	for _, p := range purgers {
		told = append(told, p)
		s.closers.add(func(context.Context) error { p.Close(); return nil })
	}
	if err != nil {
		return nil, err
	}
	s.origin = origin.New(published, origin.Options{
		ManifestMaxAge: c.CDN.ManifestMaxAge, ManifestStale: c.CDN.ManifestStale, Purgers: told, Registerer: registry, Now: c.clock(),
	})
	x, err := c.openIndex(ctx, l)
	if err != nil {
		return nil, err
	}
	s.index = x
	s.closers.add(func(context.Context) error { return x.Close() })
	return s, nil
}

// closableIndex is an open driver.
type closableIndex interface {
	index.Index
	Close() error
}

func (c *config) openIndex(ctx context.Context, l layout) (closableIndex, error) {
	if c.isElasticsearch() {
		return c.openElasticsearch()
	}
	return sqlite.Open(ctx, l.index)
}
