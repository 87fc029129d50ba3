package artifact

import (
	"slices"
	"testing"
)

func TestClearLeavesNothingOfASubjectAndAllOfTheOthers(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		one, other, odd := part(s, "one"), part(s, "one/../other"), part(s, "..")
		for _, p := range []*Store{one, other, odd} {
			bind(t, p, sum("key"), put(t, p, "the same bytes"), false)
			put(t, p, "bound to nothing: a run was killed, or another was first")
		}
		equal(t, "error", one.Clear(t.Context(), nil), nil)
		equal(t, "objects left", len(slices.Collect(keysOf(one.Objects(t.Context())))), 0)
		equal(t, "keys left", len(slices.Collect(keysOf(one.Keys(t.Context())))), 0)
		for _, p := range []*Store{other, odd} {
			equal(t, "objects of others", len(slices.Collect(keysOf(p.Objects(t.Context())))), 2)
			hash, found, err := p.Lookup(t.Context(), sum("key"))
			equal(t, "found", found, true)
			equal(t, "error", err, nil)
			there, err := p.Has(t.Context(), hash)
			equal(t, "there", there, true)
			equal(t, "error", err, nil)
		}
		equal(t, "a second time", one.Clear(t.Context(), nil), nil)
		equal(t, "of all subjects", s.Clear(t.Context(), nil) != nil, true)
	})
}

func TestClearKeepsWhatItIsTold(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		one := part(s, "one")
		newer := put(t, one, "of the newer revision")
		bind(t, one, sum("newer"), newer, false)
		older := put(t, one, "of the older")
		bind(t, one, sum("older"), older, false)
		equal(t, "error", one.Clear(t.Context(), []string{newer}), nil)
		for hash, want := range map[string]bool{newer: true, older: false} {
			there, err := one.Has(t.Context(), hash)
			equal(t, "there", there, want)
			equal(t, "error", err, nil)
		}
		bound, found, err := one.Lookup(t.Context(), sum("newer"))
		equal(t, "bound", bound, newer)
		equal(t, "found", found, true)
		equal(t, "error", err, nil)
	})
}

func keysOf(all func(func(string, error) bool)) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name, err := range all {
			if err != nil || !yield(name) {
				return
			}
		}
	}
}
