package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

func TestALetterOfAPrivateFeedShowsNoSecret(t *testing.T) {
	l := workers.DeadLetter{Raw: []byte("hunter2"), Event: episode.Event{
		ID: "e", Private: true, Title: "Members only",
		Enclosure:   episode.Enclosure{URL: "https://user:hunter2@cdn.example.org/hunter2/e.mp3?token=hunter2"},
		Transcripts: []episode.Link{{URL: "https://cdn.example.org/hunter2.vtt"}},
		Chapters:    &episode.Link{URL: "https://cdn.example.org/hunter2.json"},
	}}
	b, err := json.Marshal(presentable(l))
	if err != nil || strings.Contains(string(b), "hunter2") || !strings.Contains(string(b), "Members only") || !strings.Contains(string(b), "cdn.example.org") {
		t.Errorf("%s, %v", b, err)
	}
	l.Event.Private = false
	if got := presentable(l); got.Event.Enclosure.URL != l.Event.Enclosure.URL {
		t.Errorf("a public address is shown as %s", got.Event.Enclosure.URL)
	}
}
