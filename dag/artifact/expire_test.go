package artifact

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// kinds reads a document as these tests write it: the hashes by kind.
func kinds(doc []byte) (map[string]string, error) {
	var hashes map[string]string
	err := json.Unmarshal(doc, &hashes)
	return hashes, err
}

func record(t *testing.T, s *Store, subject string, hashes map[string]string) {
	t.Helper()
	doc, err := json.Marshal(hashes)
	if err == nil {
		err = s.Record(t.Context(), subject, doc)
	}
	if err != nil {
		t.Fatal(err)
	}
}

const week = 7 * 24 * time.Hour

// part is the part of the store that is a subject's.
func part(s *Store, subject string) *Store { return s.Part(subject) }

func TestEnclosuresExpireAndWhatWasMadeOfThemStays(t *testing.T) {
	onEach(t, func(t *testing.T, all *Store) {
		s := part(all, "episode")
		enclosure, transcript, old := put(t, s, "an hour of audio"), put(t, s, "words"), put(t, s, "of a run before")
		bind(t, s, sum("key"), enclosure, false)
		record(t, all, "episode", map[string]string{enclosure: "enclosure", transcript: "transcript", "": "gap"})
		expire := func(after time.Duration, keep map[string]time.Duration, dry bool) (Expired, []string) {
			t.Helper()
			var told []string
			e := Expiry{Keep: keep, Kinds: kinds, Now: time.Now().Add(after), DryRun: dry}
			e.Deleted = func(hash, kind string, bytes int64) { told = append(told, kind+" "+hash) }
			got, err := all.Expire(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(told)
			return got, told
		}
		there := func(what, hash string, want bool) {
			t.Helper()
			got, err := s.Has(t.Context(), hash)
			equal(t, what, got, want)
			equal(t, what, err, nil)
		}
		byKind := map[string]time.Duration{"enclosure": week}
		got, told := expire(week-time.Minute, byKind, false)
		equal(t, "deleted within the week", len(told)+len(got.Deleted), 0)
		equal(t, "kept", got.Kept["enclosure"], Tally{1, 16})
		equal(t, "kept besides", got.Kept[Unnamed].Objects, 2)

		got, told = expire(week+time.Minute, byKind, true)
		equal(t, "dry run", slices.Equal(told, []string{"enclosure " + enclosure}), true)
		equal(t, "dry run", maps.Equal(got.Deleted, map[string]Tally{"enclosure": {1, 16}}), true)
		there("enclosure after a dry run", enclosure, true)

		got, told = expire(week+time.Minute, byKind, false)
		equal(t, "told", slices.Equal(told, []string{"enclosure " + enclosure}), true)
		equal(t, "deleted", maps.Equal(got.Deleted, map[string]Tally{"enclosure": {1, 16}}), true)
		there("enclosure", enclosure, false)
		there("transcript", transcript, true)
		there("old", old, true)
		hash, found, err := s.Lookup(t.Context(), sum("key"))
		equal(t, "the key stays", hash, enclosure)
		equal(t, "the key stays", found, true)
		equal(t, "error", err, nil)

		got, told = expire(5*week, map[string]time.Duration{"enclosure": week, Unnamed: 4 * week}, false)
		equal(t, "what no run named", slices.Equal(told, []string{Unnamed + " " + old}), true)
		equal(t, "kept for good", got.Kept["transcript"], Tally{1, 5})
		there("transcript", transcript, true)
	})
}

func TestAnUnreadableLedgerExpiresNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		enclosure := put(t, part(s, "a"), "audio")
		record(t, s, "a", map[string]string{enclosure: "enclosure"})
		if err := s.Record(t.Context(), "b", []byte("{")); err != nil {
			t.Fatal(err)
		}
		_, err := s.Expire(t.Context(), Expiry{Keep: map[string]time.Duration{"enclosure": 0, Unnamed: 0}, Kinds: kinds})
		if _, isSyntax := errors.AsType[*json.SyntaxError](err); !isSyntax {
			t.Errorf("error: %v", err)
		}
		there, _ := part(s, "a").Has(t.Context(), enclosure)
		equal(t, "there", there, true)
	})
}

// Whatever is in the ledger, exactly what is past its kind's time goes.
func TestExactlyWhatIsPastItsTimeExpires(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		names := []string{Unnamed, "a", "b", "c"}
		for _, kind := range names {
			if kind != Unnamed {
				record(t, s, kind, map[string]string{put(t, part(s, kind), "of kind "+kind): kind})
			}
		}
		put(t, part(s, "d"), "unnamed")
		rapid.Check(t, func(rt *rapid.T) {
			after := time.Duration(rapid.IntRange(1, 9).Draw(rt, "hours")) * time.Hour
			keep := map[string]time.Duration{}
			want := map[string]bool{}
			for _, kind := range names {
				if hours := rapid.IntRange(-1, 9).Draw(rt, "keep "+kind); hours >= 0 {
					keep[kind] = time.Duration(hours)*time.Hour + 30*time.Minute
					want[kind] = keep[kind] <= after
				}
			}
			got, err := s.Expire(t.Context(), Expiry{Keep: keep, Kinds: kinds, Now: time.Now().Add(after), DryRun: true})
			if err != nil {
				rt.Fatal(err)
			}
			var deleted, kept int64
			for _, tally := range got.Kept {
				kept += tally.Objects
			}
			for kind, tally := range got.Deleted {
				deleted += tally.Objects
				if !want[kind] {
					rt.Fatalf("%q was deleted", kind)
				}
			}
			for kind, gone := range want {
				if gone && got.Deleted[kind].Objects != 1 {
					rt.Fatalf("%q was kept", kind)
				}
			}
			if kept+deleted != 4 {
				rt.Fatalf("%d of 4", kept+deleted)
			}
		})
	})
}
