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

func TestWhatIsForgottenLeavesNothingThatWasHeard(t *testing.T) {
	s := newSetup(t)
	e := s.enricher(t, nil)
	var gaps []string // reasons, which many episodes share
	got, _ := s.enrich(t, e, event())
	for _, d := range got.Report.Decisions {
		if d.Status == dag.Gapped {
			gaps = append(gaps, d.Reason)
		}
	}
	forget := map[string]func() error{
		"the episode": func() error { return e.Forget(t.Context(), event().ID) },
		"the event":   func() error { return e.ForgetEvent(t.Context(), event()) },
	}
	for name, do := range forget {
		s.enrich(t, e, event())
		if err := do(); err != nil {
			t.Fatal(err)
		}
		for hash, err := range s.store.Objects(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if left, err := s.store.Read(t.Context(), hash); err != nil || !slices.Contains(gaps, string(left)) {
				t.Errorf("forgetting %s leaves %.80q, %v", name, left, err)
			}
		}
	}
}
