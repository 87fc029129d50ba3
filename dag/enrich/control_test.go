package enrich

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
)

func TestForceAllRunsEveryNode(t *testing.T) {
	s := newSetup(t)
	e := s.enricher(t, nil)
	_, first := s.enrich(t, e, event())
	ev := event()
	ev.Control.Force = []string{"all"}
	if _, calls := s.enrich(t, e, ev); calls != first {
		t.Errorf("called %s\nwant   %s", calls, first)
	}
}

func TestControlThatNamesNoNodeIsRejected(t *testing.T) {
	s := newSetup(t)
	for field, c := range map[string]episode.Control{
		"control.targets": {Targets: []string{"topics", "topix"}},
		"control.force":   {Force: []string{"topix"}},
	} {
		ev := event()
		ev.Control = c
		_, err := s.enricher(t, nil).Enrich(t.Context(), ev, nil)
		f, ok := errors.AsType[*dag.Failure](err)
		fault, named := errors.AsType[*episode.FieldError](err)
		if !ok || f.Kind != dag.KindReject || !named || fault.Field != field || !strings.Contains(fault.Problem, "topix") {
			t.Errorf("%s: %v", field, err)
		}
	}
	if len(s.calls) > 0 {
		t.Errorf("called %v", s.calls)
	}
}

func TestTheAnnouncementKnowsTheRunSoFar(t *testing.T) {
	s := newSetup(t)
	ev := event()
	ev.FirstSeen = time.Now().Add(-time.Hour)
	s.enrich(t, s.enricher(t, nil), ev)
	run := s.announced.Run
	if run == nil || run.Nodes["topics"].Status != "ran" || run.Nodes["speakers"].Status != "gap" {
		t.Fatalf("run = %+v", run)
	}
	if l := run.Latency; l.FirstSeenToPreview < 3600 || l.ReceivedToPreview <= 0 || l.ReceivedToPreview > 60 || len(l.CriticalPath) < 3 || l.CriticalPath[0] != "fetch" || l.CriticalPath[len(l.CriticalPath)-1] != "publish" {
		t.Errorf("latency = %+v", l)
	}
	if _, there := run.Nodes["announce"]; there {
		t.Error("announce says of itself what is not known yet")
	}
}

func TestTheAuditLogIsInTheRecord(t *testing.T) {
	s := newSetup(t)
	s.enrich(t, s.enricher(t, nil), event())
	got, _ := s.enrich(t, s.enricher(t, map[string]string{"topics": "other"}), event())
	visits := got.Record.Run.Visits
	if len(visits) != 2 || visits[0].By != "w1" || !slices.Contains(visits[0].Nodes, "fetch") || slices.Contains(visits[1].Nodes, "fetch") || !slices.Contains(visits[1].Nodes, "topics") {
		t.Errorf("%+v", visits)
	}
}

func TestWhatIsForgottenLeavesNoBytes(t *testing.T) {
	s := newSetup(t)
	e := s.enricher(t, nil)
	s.enrich(t, e, event())
	other := event()
	other.ID = "e2"
	s.enrich(t, e, other)
	count := func(id episode.ID) (n int) {
		for _, err := range s.store.Part(string(id)).Objects(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	before := count(other.ID)
	if err := e.Forget(t.Context(), event().ID, false); err != nil || count(event().ID) != 0 {
		t.Errorf("%v; %d objects are left", err, count(event().ID))
	}
	if n := count(other.ID); n != before || n < 5 {
		t.Errorf("an episode with the same audio has %d objects, it had %d", n, before)
	}
}
