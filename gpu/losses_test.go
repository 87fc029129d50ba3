package gpu

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var lossesNoon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func openLosses(t *testing.T, path string) *Losses {
	t.Helper()
	l, err := OpenLosses(path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestADeviceThatIsLostAgainAndAgainIsLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		lost      []int // minutes after noon
		at        int
		until     int // 0: it serves
		lastCause string
	}{
		"never lost":                         {nil, 0, 0, ""},
		"twice":                              {[]int{0, 1}, 2, 0, ""},
		"three times within an hour":         {[]int{0, 30, 60}, 60, 120, "fault at 60"},
		"until an hour after the last":       {[]int{0, 30, 60}, 119, 120, "fault at 60"},
		"no longer":                          {[]int{0, 30, 60}, 120, 0, ""},
		"three times, but not within one":    {[]int{0, 30, 61}, 61, 0, ""},
		"the last three of four":             {[]int{0, 30, 61, 62}, 62, 122, "fault at 62"},
		"lost again after it was let back":   {[]int{0, 30, 60, 125}, 126, 0, ""},
		"lost once more while it is out":     {[]int{0, 10, 20, 75}, 76, 80, "fault at 20"},
		"told out of order":                  {[]int{60, 0, 30}, 61, 120, "fault at 60"},
		"the clock was set back a little":    {[]int{0, 1, 2}, 1, 62, "fault at 2"},
		"the clock was set back a long way":  {[]int{0, 1, 2}, -60, 0, ""},
		"lost in a future that is not to be": {[]int{600, 601, 602}, 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state", "losses.json")
			l := openLosses(t, path)
			minute := func(n int) time.Time { return lossesNoon.Add(time.Duration(n) * time.Minute) }
			for _, n := range c.lost {
				if err := l.Add("GPU-1", minute(n), fmt.Sprintf("fault at %d", n)); err != nil {
					t.Fatal(err)
				}
				if err := l.Add("GPU-2", minute(1000*n), "rarely"); err != nil {
					t.Fatal(err)
				}
			}
			for who, l := range map[string]*Losses{"this process": l, "the next": openLosses(t, path)} {
				until, reason, out := l.LeftOut("GPU-1", minute(c.at))
				if out != (c.until != 0) || out && !until.Equal(minute(c.until)) || reason != c.lastCause {
					t.Errorf("%s: %v, %q, %v", who, until, reason, out)
				}
				if _, _, out := l.LeftOut("GPU-2", minute(c.at)); out {
					t.Errorf("%s: the other one is left out too", who)
				}
			}
		})
	}
}

func TestLossesOfProcessesSideBySideAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "losses.json")
	one, two := openLosses(t, path), openLosses(t, path)
	for i, l := range []*Losses{one, two, one} {
		if err := l.Add("GPU-1", lossesNoon.Add(time.Duration(i)*time.Minute), "xid 79"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, out := openLosses(t, path).LeftOut("GPU-1", lossesNoon.Add(5*time.Minute)); !out {
		t.Error("a loss was forgotten")
	}
}

func TestLossesDoNotGrow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "losses.json")
	l := openLosses(t, path)
	if err := l.Add("GPU-2", lossesNoon, "once"); err != nil {
		t.Fatal(err)
	}
	var adding sync.WaitGroup
	for i := range 5 * lossesKept {
		adding.Go(func() {
			if err := l.Add("GPU-1", lossesNoon.Add(time.Duration(i)*time.Minute), "again"); err != nil {
				t.Error(err)
			}
			l.LeftOut("GPU-1", lossesNoon)
		})
	}
	adding.Wait()
	list, err := readLosses(path)
	if err != nil || len(list) != 1+lossesKept || list[0].UUID != "GPU-2" {
		t.Errorf("%d losses are kept, %v", len(list), err)
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("beside the file: %v, %v", names, err)
	}
}

func TestAListThatCannotBeReadStartsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "losses.json")
	if err := os.WriteFile(path, []byte(`{"losses": [`), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLosses(path)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("%v", err)
	}
	for i := range 3 {
		if err := l.Add("GPU-1", lossesNoon.Add(time.Duration(i)*time.Second), "xid 79"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, out := openLosses(t, path).LeftOut("GPU-1", lossesNoon); !out {
		t.Error("the new list was not kept")
	}
}

func TestALossThatCannotBeWrittenCountsForThisProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "losses.json", "is a folder")
	if err := os.WriteFile(filepath.Dir(path), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l := &Losses{path: path}
	for range 3 {
		if err := l.Add("GPU-1", lossesNoon, "xid 79"); err == nil || !strings.Contains(err.Error(), "GPU-1") {
			t.Errorf("%v", err)
		}
	}
	if _, _, out := l.LeftOut("GPU-1", lossesNoon); !out {
		t.Error("the losses were forgotten")
	}
}
