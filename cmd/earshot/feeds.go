package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/earshot-fm/earshot/audio/enclosure"
	"github.com/earshot-fm/earshot/workers/feed"
	"github.com/earshot-fm/earshot/workers/lead"
	"github.com/earshot-fm/earshot/workers/lead/lease"
)

// poll polls the feeds, once or until ctx ends; of several workers one does.
func (s *streamer) poll(ctx context.Context, feeds []string, once bool, aside func(func(context.Context) error)) error {
	c := s.pipeline.config
	sources, err := c.feedSources(feeds)
	if err != nil {
		return exit(exitUsage, err)
	}
	if len(sources) == 0 {
		return nil
	}
	poller, err := s.poller(sources)
	if err != nil {
		return exit(exitUsage, err)
	}
	if once {
		if _, err := poller.Poll(ctx); err != nil && ctx.Err() == nil {
			// What the other feeds have published is worked on all the same.
			s.log.Error("a feed could not be polled", "error", err)
		}
		return nil
	}
	var leader lead.Leader = lead.NewFile(filepath.Join(s.state, "poller.lock"), 0)
	if c.Feeds.Leader.Lease != "" {
		if leader, err = lease.Connect(lease.Options{Namespace: c.Feeds.Leader.Namespace, Name: c.Feeds.Leader.Lease, Log: s.log}); err != nil {
			return exit(exitUsage, fmt.Errorf("config: feeds.leader: %w", err))
		}
	}
	aside(func(ctx context.Context) error { return leader.Lead(ctx, poller.Run) })
	return nil
}

func (s *streamer) poller(sources []feed.Source) (*feed.Poller, error) {
	c := s.pipeline.config
	var allowed []netip.Prefix
	for _, p := range c.Fetch.AllowPrivate {
		allowed = append(allowed, netip.MustParsePrefix(p)) // checked with the configuration
	}
	dialer := &net.Dialer{Timeout: 15 * time.Second, Control: enclosure.Guard(allowed)}
	client := &http.Client{Transport: &http.Transport{
		DialContext:            dialer.DialContext, // and no proxy, which the guard would not see through
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    15 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
	}}
	s.pipeline.closers.add(func(context.Context) error { client.CloseIdleConnections(); return nil })
	m := s.pipeline.messaging
	return feed.New(sources, client, m.cursorsIn(s.pipeline.sinks), m.Publish, feed.Options{
		Interval:     c.Worker.PollEvery,
		Fresh:        7 * 24 * time.Hour,
		PerHost:      c.Feeds.PerHost,
		TakeLocked:   c.Feeds.TakeLocked,
		KeepVanished: c.Feeds.KeepVanished,
		UserAgent:    fmt.Sprintf("earshot/%s (+%s)", version, c.Fetch.Contact),
		Withdraw:     m.Remove,
		Log:          s.log,
	})
}
