package message

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
)

func drawEvent(t *rapid.T) episode.Event {
	text := rapid.StringN(0, 40, -1)
	link := rapid.Custom(func(t *rapid.T) episode.Link {
		return episode.Link{URL: text.Draw(t, "url"), Type: text.Draw(t, "type"), Language: text.Draw(t, "language")}
	})
	at := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "unset") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-62135596799, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC()
	})
	names := rapid.Custom(func(t *rapid.T) []string {
		if rapid.Bool().Draw(t, "unset") {
			return nil
		}
		return append([]string{}, rapid.SliceOfN(text, 0, 4).Draw(t, "names")...)
	})
	ev := episode.Event{
		ID:      episode.ID(rapid.StringMatching(`[a-z0-9-]{1,128}`).Draw(t, "id")),
		Podcast: text.Draw(t, "podcast"), Title: text.Draw(t, "title"), Description: text.Draw(t, "description"), Language: text.Draw(t, "language"),
		Revision:    episode.Revision(rapid.Int64Range(1, 1<<43-1).Draw(t, "revision")),
		PublishedAt: at.Draw(t, "published"), FirstSeen: at.Draw(t, "seen"),
		Enclosure: episode.Enclosure{URL: rapid.StringN(1, 40, -1).Draw(t, "enclosure"), Type: text.Draw(t, "type"), Bytes: rapid.Int64Range(0, math.MaxInt64).Draw(t, "bytes")},
		Priority:  rapid.SampledFrom([]episode.Priority{"", episode.Live, episode.Backlog}).Draw(t, "priority"),
		Explicit:  rapid.Ptr(rapid.Bool(), true).Draw(t, "explicit"),
		Chapters:  rapid.Ptr(link, true).Draw(t, "chapters"),
		Private:   rapid.Bool().Draw(t, "private"),
		Control: episode.Control{Targets: names.Draw(t, "targets"), Force: names.Draw(t, "force"), Ping: rapid.Bool().Draw(t, "ping"),
			Recipients: names.Draw(t, "recipients")},
	}
	for range rapid.IntRange(0, 3).Draw(t, "soundbites") {
		start := rapid.Float64Range(0, 1e6).Draw(t, "start")
		ev.Soundbites = append(ev.Soundbites, episode.Soundbite{
			Span: episode.Span{Start: episode.Seconds(start), End: episode.Seconds(start + rapid.Float64Range(.001, 1e6).Draw(t, "length"))}, Title: text.Draw(t, "title"),
		})
	}
	for range rapid.IntRange(0, 3).Draw(t, "transcripts") {
		ev.Transcripts = append(ev.Transcripts, link.Draw(t, "transcript"))
	}
	return ev
}

func TestAnyEventComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev, e := drawEvent(t), rapid.SampledFrom(encodings).Draw(t, "encoding")
		b, err := EncodePublished(ev, e)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodePublished(b, e); err != nil || !reflect.DeepEqual(back, ev) {
			t.Fatalf("%s\n%+v, %v\n%+v", b, back, err, ev)
		}
	})
}

func TestAnyRemovalComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev, e := drawEvent(t), rapid.SampledFrom(encodings).Draw(t, "encoding")
		r := episode.Removal{ID: ev.ID, Revision: ev.Revision, Reason: ev.Title}
		b, err := EncodeRemoved(r, e)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeRemoved(b, e); err != nil || back != r {
			t.Fatalf("%+v, %v", back, err)
		}
	})
}

func TestAnyAnnouncementComesBack(t *testing.T) {
	score := rapid.Float64Range(0, 1)
	text := rapid.StringN(0, 20, -1)
	seconds := rapid.Float64Range(0, 1e5)
	rapid.Check(t, func(t *rapid.T) {
		ev, e := drawEvent(t), rapid.SampledFrom(encodings).Draw(t, "encoding")
		r := &episode.Record{Episode: episode.Episode{ID: ev.ID, Revision: ev.Revision, Generation: episode.Generation(rapid.IntRange(0, math.MaxInt).Draw(t, "generation"))}}
		if rapid.Bool().Draw(t, "preview") {
			r.Preview = &episode.Preview{Manifest: rapid.StringN(1, 20, -1).Draw(t, "manifest")}
		}
		for range rapid.IntRange(0, 3).Draw(t, "topics") {
			r.Topics = append(r.Topics, episode.Topic{Taxonomy: text.Draw(t, "taxonomy"), ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Score: episode.Score(score.Draw(t, "score"))})
		}
		if rapid.Bool().Draw(t, "language") {
			r.Language = &episode.Language{Code: text.Draw(t, "code"), Confidence: episode.Score(score.Draw(t, "confidence"))}
			for range rapid.IntRange(0, 2).Draw(t, "candidates") {
				r.Language.Candidates = append(r.Language.Candidates, episode.LanguageCandidate{Code: text.Draw(t, "code"), Confidence: episode.Score(score.Draw(t, "confidence"))})
			}
		}
		if rapid.Bool().Draw(t, "embedding") {
			r.Embedding = &episode.Embedding{Model: text.Draw(t, "model")}
			for range rapid.IntRange(0, 5).Draw(t, "components") {
				r.Embedding.Values = append(r.Embedding.Values, episode.Component(float64(rapid.IntRange(-100_000, 100_000).Draw(t, "component"))/1e5))
			}
		}
		if rapid.Bool().Draw(t, "run") {
			r.Run = &episode.Run{Nodes: map[string]episode.NodeRun{}, Latency: episode.Latency{
				FirstSeenToPreview: episode.Seconds(seconds.Draw(t, "first")), ReceivedToPreview: episode.Seconds(seconds.Draw(t, "received")),
			}}
			for range rapid.IntRange(0, 3).Draw(t, "path") {
				r.Run.Latency.CriticalPath = append(r.Run.Latency.CriticalPath, text.Draw(t, "node"))
			}
			for range rapid.IntRange(0, 4).Draw(t, "nodes") {
				r.Run.Nodes[rapid.StringN(1, 10, -1).Draw(t, "name")] = episode.NodeRun{
					Status: rapid.SampledFrom([]string{"ran", "reused", "skipped", "gap"}).Draw(t, "status"),
					Reason: text.Draw(t, "reason"), Model: text.Draw(t, "model"), Device: text.Draw(t, "device"),
					Started: episode.Seconds(seconds.Draw(t, "started")), Waited: episode.Seconds(seconds.Draw(t, "waited")), Ran: episode.Seconds(seconds.Draw(t, "ran")),
				}
			}
		}
		b, err := EncodeEnriched(r, ev.FirstSeen, e)
		if err != nil {
			t.Fatal(err)
		}
		if back, at, err := DecodeEnriched(b, e); err != nil || !at.Equal(ev.FirstSeen) || !reflect.DeepEqual(back, r) {
			t.Fatalf("%s\n%+v, %v\n%+v", b, back, err, r)
		}
	})
}

// Whatever comes is an event that works, and then comes back as it went, or is
// refused by a field, and can still be filed.
func FuzzDecode(f *testing.F) {
	for _, e := range encodings {
		b, err := EncodePublished(full(), e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, e == JSON)
		if b, err = EncodeEnriched(record(), moment, e); err != nil {
			f.Fatal(err)
		}
		f.Add(b, e == JSON)
		if b, err = EncodeRemoved(episode.Removal{ID: "x", Revision: 1, Reason: "r"}, e); err != nil {
			f.Fatal(err)
		}
		f.Add(b, e == JSON)
	}
	f.Add([]byte(`{"id":"x","revision":"1e3","enclosure":{"url":"u"},"soundbites":[{"end":"NaN"}],"publishedAt":"2026-11-29T12:00:00+24:00"}`), true)
	f.Add([]byte{0x3a, 2, 0x0a, 0xff, 0x52, 0}, false)
	f.Fuzz(func(t *testing.T, b []byte, asJSON bool) {
		e := Binary
		if asJSON {
			e = JSON
		}
		named := func(err error) {
			var fault *episode.FieldError
			if !errors.As(err, &fault) || fault.Field == "" {
				t.Errorf("names no field: %v", err)
			}
		}
		ev, err := DecodePublished(b, e)
		if _, err := json.Marshal(ev); err != nil {
			t.Errorf("no dead letter can hold it: %v", err)
		}
		if err != nil {
			named(err)
		} else if again, err := EncodePublished(ev, e); err != nil {
			// A message just below the bound may be longer when written in full.
			if named(err); !strings.Contains(err.Error(), "want up to") {
				t.Error(err)
			}
		} else if back, err := DecodePublished(again, e); err != nil || !reflect.DeepEqual(back, ev) {
			t.Errorf("%+v, %v; was %+v", back, err, ev)
		}
		if r, err := DecodeRemoved(b, e); err != nil {
			named(err)
		} else if err := r.Check(); err != nil {
			t.Error(err)
		}
		if r, _, err := DecodeEnriched(b, e); err != nil {
			named(err)
		} else if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	})
}
