package gpu

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestTheEnvelopeIsNeverBelowWhatWasMeasured draws points in any order of size.
func TestTheEnvelopeIsNeverBelowWhatWasMeasured(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Profile
		for range rapid.IntRange(1, 8).Draw(t, "points") {
			p.Raise(float64(rapid.IntRange(0, 20).Draw(t, "cost")), int64(rapid.IntRange(0, 1000).Draw(t, "bytes")))
		}
		for _, pt := range p.Points {
			if need := p.Need(1, pt.Cost); need < pt.Bytes {
				t.Fatalf("%+v: %d are said to be enough for %+v", p.Points, need, pt)
			}
		}
		last := int64(0)
		for cost := 0.0; cost < 60; cost += 0.25 {
			need := p.Need(1, cost)
			if need < last {
				t.Fatalf("%+v: less is needed for %v than for less", p.Points, cost)
			}
			last = need
		}
	})
}

func TestTheBestBatchIsAtTheKnee(t *testing.T) {
	p := Profile{Points: []Point{
		{Items: 1, Cost: 1, Median: 0.10}, {Items: 2, Cost: 2, Median: 0.12}, {Items: 4, Cost: 4, Median: 0.20},
		{Items: 8, Cost: 8, Median: 0.396}, {Items: 16, Cost: 16, Median: 0.85},
	}}
	if best := p.Best(); best.Items != 4 {
		t.Errorf("best %+v, want 4: 8 are 1 %% faster", best)
	}
	if best := new(Profile).Best(); best.Items != 0 {
		t.Errorf("best %+v of nothing", best)
	}
}

func TestProfilesOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "profiles.json")
	p, err := OpenProfiles(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Profile{
		ProfileKey: ProfileKey{SHA256: "a", Device: "Tesla T4", Build: "b", Precision: "fp16"}, Model: "m@1",
		WeightsBytes: 7, LoadSeconds: 0.5, Points: []Point{{Items: 1, Cost: 2, Bytes: 3, Median: 4, P99: 5}},
	}
	if err := p.Put(want); err != nil {
		t.Fatal(err)
	}
	if p, err = OpenProfiles(path); err != nil {
		t.Fatal(err)
	}
	if got, ok := p.Get(want.ProfileKey); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	other := want.ProfileKey
	other.Device = "Tesla P4"
	if _, ok := p.Get(other); ok {
		t.Error("another device has the same profile")
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenProfiles(path); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("got %v", err)
	}
}
