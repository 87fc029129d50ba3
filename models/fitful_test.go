package models

import (
	"context"
	"strings"
	"testing"
)

// placeRunner counts each item down to zero, one step a turn, in two places;
// a fault shows what a rehearsal is to find.
type placeRunner struct{ fault string }

func (placeRunner) Cost(int) float64 { return 1 }
func (placeRunner) Bucket(int) int   { return 0 }

func (r placeRunner) Run(ctx context.Context, s Sessions, batch []int) ([]float32, error) {
	return RunByRefill(ctx, r, s, batch)
}

func (r placeRunner) Refill(_ context.Context, _ Sessions, feed Feed[int, float32]) error {
	type place struct {
		number, left int
		busy         bool
		sum          float32 // what the place has said
	}
	places := make([]place, 2)
	taken := 0
	for {
		busy := 0
		for i := range places {
			p := &places[i]
			if !p.busy {
				items := feed.Take(1)
				if len(items) == 0 {
					continue
				}
				sum := p.sum
				if r.fault != "keeps what was said in the place" {
					sum = 0
				}
				*p = place{number: taken, left: items[0], busy: true, sum: sum}
				taken++
			}
			busy++
		}
		if busy == 0 {
			return nil
		}
		for i := range places {
			p := &places[i]
			if !p.busy {
				continue
			}
			p.sum += float32(p.left)
			if r.fault == "counts the others" && taken > 2 {
				p.sum += float32(busy) - 1
			}
			if p.left--; p.left > 0 {
				continue
			}
			p.busy = false
			switch {
			case r.fault == "forgets an item" && p.number == 2:
			case r.fault == "delivers twice" && p.number == 2:
				feed.Deliver(p.number, p.sum)
				feed.Deliver(p.number, p.sum)
			default:
				feed.Deliver(p.number, p.sum)
			}
		}
		if r.fault == "leaves items" && taken > 2 {
			return nil
		}
	}
}

func TestARehearsalFindsWhatARefillDoes(t *testing.T) {
	m := &Model{Manifest: Manifest{Name: "test", Version: 1, Batch: Batch{MaxItems: 2}}}
	for fault, want := range map[string]string{
		"":                                 "",
		"keeps what was said in the place": "an item's output depends on what ran in its place before, or beside it: item ",
		"counts the others":                "an item's output depends on what ran in its place before, or beside it: item ",
		"forgets an item":                  "models: refill a batch of test@1: the runner ended, and 1 of the items that it took are not delivered",
		"delivers twice":                   "the runner delivers item 2, which it has not taken or has delivered already",
		"leaves items":                     "of the items that it took are not delivered",
	} {
		v, err := VerifyRunner(t.Context(), m, placeRunner{fault}, nil, []int{5, 2, 3})
		got := strings.Join(v.Faults, "; ")
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%q: %q, want %q", fault, got, want)
		}
		if fault == "" && v.Refilled == 0 {
			t.Errorf("%+v: no item took another's place", v)
		}
	}
	// A batch that always has its full size takes nobody in: what a place keeps
	// does not matter there, and the scheduler never refills it.
	m.Manifest.Batch.Fixed = true
	if v, err := VerifyRunner(t.Context(), m, placeRunner{"counts the others"}, nil, []int{5, 2, 3}); err != nil || v.Refilled != 0 || len(v.Faults) > 0 {
		t.Errorf("fixed: %+v, %v", v, err)
	}
}
