package dag

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// faults gathers what is wrong with a description, so that its author sees
// all of it at once.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

func (f faults) err() error { return errors.Join(f...) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// has lists what could have been named instead of what was.
func has(lists ...[]string) string {
	names := slices.Concat(lists...)
	if len(names) == 0 {
		return "has none"
	}
	slices.Sort(names)
	return "has " + strings.Join(slices.Compact(names), ", ")
}
