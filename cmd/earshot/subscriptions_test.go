package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/workers/pubsub/pubsubtest"
)

// Deployments share topics and have subscriptions of their own, as the
// configuration names them; one that it does not name is its topic's.
func TestSubscriptionsAreConfiguredApartFromTopics(t *testing.T) {
	server, err := pubsubtest.StartMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	t.Setenv("PUBSUB_EMULATOR_HOST", server.Address)
	c, err := parseConfig([]byte(`
storage: {queue: "pubsub://p"}
pubsub: {live: news, subscriptions: {live: staging-news, removals: staging-removals, dead_letters: staging-letters}}
`))
	if err != nil {
		t.Fatal(err)
	}
	notes, err := c.inspectPubSub(t.Context(), true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, made := range []string{"topic projects/p/topics/news", "subscription projects/p/subscriptions/staging-news", "subscription projects/p/subscriptions/earshot-backlog",
		"subscription projects/p/subscriptions/staging-removals", "subscription projects/p/subscriptions/staging-letters"} {
		if !slices.Contains(notes, made+": made") {
			t.Errorf("%s was not made: %q", made, notes)
		}
	}
	if n := strings.Count(fmt.Sprint(notes), "subscription "); n != 4 {
		t.Errorf("%d subscriptions: %q", n, notes)
	}
	client, err := c.pubsubClient(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Reach(t.Context()); err != nil {
		t.Error(err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}
