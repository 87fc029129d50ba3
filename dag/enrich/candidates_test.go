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
		var segments []utterance
		for _, s := range spans(t, "segments", duration, 200, 15) {
			segments = append(segments, utterance{s, rapid.Bool().Draw(t, "answered")})
		}
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
				if len(bites) == 0 && onASegment(got, segments, ads) && (inside(c.Start, s.Span) || inside(c.End, s.Span)) {
					t.Fatalf("candidate %v cuts into the segment %v", c, s)
				}
			}
		}
	})
}

func inside(at episode.Seconds, s episode.Span) bool { return at > s.Start+1e-9 && at < s.End-1e-9 }

// onASegment tells whether the pauses allowed any candidate: only then must
// all candidates keep to them.
func onASegment(got []episode.Span, segments []utterance, ads []episode.Span) bool {
	for _, stretch := range adFree(episode.Span{End: got[len(got)-1].End + 1000}, ads) {
		if len(onPauses(stretch, segments, limits)) > 0 {
			return true
		}
	}
	return false
}

func TestASoundbiteIsACandidateMovedToPauses(t *testing.T) {
	var segments []utterance
	for at := episode.Seconds(0); at < 300; at += 6 {
		segments = append(segments, utterance{Span: episode.Span{Start: at + 0.5, End: at + 5.5}})
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

func TestAStoryEndsAfterItsAnswer(t *testing.T) {
	segment := func(start, end episode.Seconds) episode.Segment {
		return episode.Segment{Span: episode.Span{Start: start, End: end}}
	}
	applause := func(start, end episode.Seconds) episode.SoundEvent {
		return episode.SoundEvent{Label: "Applause", Span: episode.Span{Start: start, End: end}}
	}
	plain := func(start, end episode.Seconds) utterance {
		return utterance{Span: episode.Span{Start: start, End: end}}
	}
	answered := func(start, end episode.Seconds) utterance {
		return utterance{episode.Span{Start: start, End: end}, true}
	}
	for name, c := range map[string]struct {
		segments []episode.Segment
		sounds   []episode.SoundEvent
		want     []utterance
	}{
		"nobody answers":            {[]episode.Segment{segment(0, 5), segment(6, 9)}, nil, []utterance{plain(0, 5), plain(6, 9)}},
		"applause after a sentence": {[]episode.Segment{segment(0, 5), segment(10, 12)}, []episode.SoundEvent{applause(5.5, 9)}, []utterance{answered(0, 9), plain(10, 12)}},
		"too late to be an answer":  {[]episode.Segment{segment(0, 5)}, []episode.SoundEvent{applause(7, 9)}, []utterance{plain(0, 5)}},
		"laughter amid a sentence":  {[]episode.Segment{segment(0, 5)}, []episode.SoundEvent{applause(2, 4)}, []utterance{plain(0, 5)}},
		"words heard in applause":   {[]episode.Segment{segment(0, 5), segment(6, 7), segment(8, 9.5), segment(11, 14)}, []episode.SoundEvent{applause(5.2, 9)}, []utterance{answered(0, 9.5), plain(11, 14)}},
		"somebody goes on":          {[]episode.Segment{segment(0, 5), segment(8, 20)}, []episode.SoundEvent{applause(5.2, 10)}, []utterance{answered(0, 8), plain(8, 20)}},
		"another speaks before it":  {[]episode.Segment{segment(0, 5), segment(5.2, 7)}, []episode.SoundEvent{applause(6.4, 9)}, []utterance{plain(0, 5), answered(5.2, 9)}},
	} {
		if got := answer(c.segments, c.sounds); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestAnAnsweredStoryIsACandidateThoughItIsShort(t *testing.T) {
	var segments []utterance
	for at := episode.Seconds(0); at < 300; at += 6 {
		segments = append(segments, utterance{episode.Span{Start: at + 0.5, End: at + 5.5}, at == 120})
	}
	want := episode.Span{Start: 90.35, End: 125.8} // 35 s: far from Target
	if got := candidates(300, segments, nil, nil, limits); !slices.ContainsFunc(got, func(s episode.Span) bool {
		return distance(s.Start, want.Start) < 1e-6 && distance(s.End, want.End) < 1e-6
	}) {
		t.Errorf("no candidate %v in %v", want, got)
	}
}
