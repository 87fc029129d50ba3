package enrich

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
)

var limits = PreviewOptions{Min: 30, Target: 60, Max: 90}

// spans draws spans in order that do not overlap, all before duration.
func spans(t *rapid.T, name string, duration episode.Seconds, n int, longest float64) []episode.Span {
	var out []episode.Span
	at := episode.Seconds(0)
	for range rapid.IntRange(0, n).Draw(t, name) {
		start := at + episode.Seconds(rapid.Float64Range(0.05, 20).Draw(t, name+" gap"))
		end := start + episode.Seconds(rapid.Float64Range(0.3, longest).Draw(t, name+" length"))
		if end > duration {
			break
		}
		out = append(out, episode.Span{Start: start, End: end})
		at = end
	}
	return out
}

func TestCandidatesKeepTheirPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		duration := episode.Seconds(rapid.Float64Range(0.1, 3000).Draw(t, "duration"))
		segments := spans(t, "segments", duration, 200, 15)
		ads := spans(t, "ads", duration, 5, 60)
		var bites []episode.Soundbite
		for _, s := range spans(t, "soundbites", duration+50, 3, 150) {
			bites = append(bites, episode.Soundbite{Span: s})
		}
		got := candidates(duration, segments, ads, bites, limits)
		if len(got) == 0 {
			t.Fatal("no candidate")
		}
		if duration <= limits.Target {
			if !slices.Equal(got, []episode.Span{{Start: 0, End: duration}}) {
				t.Fatalf("a short episode gives %v", got)
			}
			return
		}
		longest := episode.Seconds(0)
		for _, s := range adFree(episode.Span{End: duration}, ads) {
			longest = max(longest, s.Len())
		}
		for _, c := range got {
			if c.Start < 0 || c.End > duration+1e-6 || c.Len() <= 0 || c.Len() > limits.Max+1e-6 {
				t.Fatalf("candidate %v of an episode of %v", c, duration)
			}
			if longest >= limits.Min && c.Len() < limits.Min-1e-6 && len(bites) == 0 {
				t.Fatalf("candidate %v is too short, and %v without ads would allow a longer one", c, longest)
			}
			if longest > 0 && crosses(c, ads) && c.Overlap(ads[0]) > 1e-6 {
				t.Fatalf("candidate %v crosses an ad of %v", c, ads)
			}
			for _, s := range segments {
				if len(bites) == 0 && onASegment(got, segments, ads) && (inside(c.Start, s) || inside(c.End, s)) {
					t.Fatalf("candidate %v cuts into the segment %v", c, s)
				}
			}
		}
	})
}

func inside(at episode.Seconds, s episode.Span) bool { return at > s.Start+1e-9 && at < s.End-1e-9 }

// onASegment tells whether the pauses allowed any candidate: only then must
// all candidates keep to them.
func onASegment(got, segments, ads []episode.Span) bool {
	for _, stretch := range adFree(episode.Span{End: got[len(got)-1].End + 1000}, ads) {
		if len(onPauses(stretch, segments, limits)) > 0 {
			return true
		}
	}
	return false
}

func TestASoundbiteIsACandidateMovedToPauses(t *testing.T) {
	var segments []episode.Span
	for at := episode.Seconds(0); at < 300; at += 6 {
		segments = append(segments, episode.Span{Start: at + 0.5, End: at + 5.5})
	}
	bite := episode.Soundbite{Span: episode.Span{Start: 121.3, End: 161}}
	got := candidates(300, segments, nil, []episode.Soundbite{bite}, limits)
	want := episode.Span{Start: 120.35, End: 161.8}
	if !slices.ContainsFunc(got, func(s episode.Span) bool {
		return distance(s.Start, want.Start) < 1e-6 && distance(s.End, want.End) < 1e-6
	}) {
		t.Errorf("no candidate %v for the soundbite %v", want, bite.Span)
	}
}

func TestMusicWithoutPausesIsCutOnAGrid(t *testing.T) {
	got := candidates(200, nil, []episode.Span{{Start: 90, End: 110}}, nil, limits)
	for _, c := range got {
		if c.Len() != 60 || crosses(c, []episode.Span{{Start: 90, End: 110}}) {
			t.Errorf("candidate %v", c)
		}
	}
}
