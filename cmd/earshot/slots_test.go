package main

import "testing"

func TestSlotsFollowMemoryAndCores(t *testing.T) {
	for _, c := range []struct {
		memory int64
		cores  int
		want   int
	}{
		{0, 2, 4}, {0, 16, 32}, {24 << 30, 2, 4}, {64 << 30, 16, 32}, {8 << 30, 16, 18}, {2 << 30, 16, 2}, {1 << 30, 4, 1}, {256 << 20, 4, 1},
	} {
		if got := slotsFor(c.memory, c.cores); got != c.want {
			t.Errorf("%d MiB and %d cores: %d slots, want %d", c.memory>>20, c.cores, got, c.want)
		}
	}
}
