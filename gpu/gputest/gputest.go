// Package gputest is the suite that every driver of gpu.Prober must pass.
package gputest

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-fm/earshot/gpu"
)

// Driver is a driver that is tested.
type Driver struct {
	gpu.Prober
	// Hang makes every call into what is below the Prober hang from now on,
	// until release is called. nil: nothing below it can.
	Hang func() (release func())
}

// Run runs the suite; open gives a Prober over one device or more. Each test
// runs in a bubble of testing/synctest: it fails when a goroutine is left, or
// when nothing goes on any more, and its waits take no time.
func Run(t *testing.T, open func(t *testing.T) Driver) {
	tests := []struct {
		name string
		run  func(*testing.T, Driver)
	}{
		{"the list of devices stays", listStays},
		{"a reading adds up", readingAddsUp},
		{"an unknown device", unknownDevice},
		{"nothing is asked once the context has ended", endedContext},
		{"Watch ends with its context", watchEnds},
		{"Close ends Watch", closeEndsWatch},
		{"Close twice", closeTwice},
		{"after Close", afterClose},
		{"all at once", atOnce},
		{"a driver that hangs", hangs},
		{"a driver that hangs when it is let go", hangsInClose},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := open(t)
				defer d.Close()
				test.run(t, d)
			})
		})
	}
}

func list(t *testing.T, p gpu.Prober) []gpu.Hardware {
	t.Helper()
	all, err := p.Devices(t.Context())
	if err != nil || len(all) == 0 {
		t.Fatalf("Devices = %v, %v; want one at least", all, err)
	}
	return all
}

func listStays(t *testing.T, d Driver) {
	all := list(t, d)
	uuids, devices := map[string]bool{}, map[string]bool{}
	for _, h := range all {
		if h.UUID == "" || h.Name == "" || h.TotalBytes <= 0 {
			t.Errorf("%+v has no UUID, no name or no memory", h)
		}
		if uuids[h.UUID] || h.Device != "" && devices[h.Device] {
			t.Errorf("%+v is listed twice", h)
		}
		uuids[h.UUID], devices[h.Device] = true, true
	}
	again := list(t, d)
	if !reflect.DeepEqual(all, again) {
		t.Errorf("first %+v, then %+v", all, again)
	}
	again[0].UUID = "changed by its caller"
	if third := list(t, d); !reflect.DeepEqual(all, third) {
		t.Errorf("first %+v, then %+v", all, third)
	}
}

func readingAddsUp(t *testing.T, d Driver) {
	for _, h := range list(t, d) {
		for range 3 {
			r, err := d.Read(t.Context(), h.UUID)
			if err != nil {
				t.Fatal(err)
			}
			check(t, h, r)
		}
	}
}

func check(t *testing.T, h gpu.Hardware, r gpu.Reading) {
	t.Helper()
	switch {
	case r.TotalBytes <= 0, r.UsedBytes < 0, r.FreeBytes < 0, r.OwnBytes < 0,
		r.UsedBytes+r.FreeBytes > r.TotalBytes, r.OwnBytes > r.UsedBytes,
		r.Busy < 0, r.Busy > 1, r.Watts < 0:
		t.Errorf("%s: %+v", h.UUID, r)
	}
	for _, other := range r.Others {
		if other.Bytes < 0 || other.PID <= 0 {
			t.Errorf("%s: another process is %+v", h.UUID, other)
		}
	}
}

func unknownDevice(t *testing.T, d Driver) {
	for _, uuid := range []string{"", "GPU-00000000-0000-0000-0000-000000000000"} {
		if r, err := d.Read(t.Context(), uuid); !errors.Is(err, gpu.ErrUnknown) {
			t.Errorf("Read %q = %+v, %v; want gpu.ErrUnknown", uuid, r, err)
		}
	}
}

func endedContext(t *testing.T, d Driver) {
	uuid := list(t, d)[0].UUID
	why := errors.New("the test has seen enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := d.Devices(ctx); !errors.Is(err, gpu.ErrNoAnswer) || !errors.Is(err, why) {
		t.Errorf("Devices: %v", err)
	}
	if _, err := d.Read(ctx, uuid); !errors.Is(err, gpu.ErrNoAnswer) || !errors.Is(err, why) {
		t.Errorf("Read: %v", err)
	}
	if err := d.Watch(ctx, func(e gpu.Event) { t.Errorf("an event: %+v", e) }); err != nil {
		t.Errorf("Watch: %v", err)
	}
}

// watch watches on a goroutine, which waits for events when watch returns.
func watch(ctx context.Context, p gpu.Prober) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- p.Watch(ctx, func(gpu.Event) {}) }()
	synctest.Wait()
	return ended
}

func watchEnds(t *testing.T, d Driver) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := watch(ctx, d)
	start := time.Now()
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, gpu.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	if late := time.Since(start); late > 0 {
		t.Errorf("Watch ended %v after its context", late)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func closeEndsWatch(t *testing.T, d Driver) {
	ended := watch(t.Context(), d)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, gpu.ErrProberClosed) && !errors.Is(err, gpu.ErrUnsupported) {
		t.Errorf("Watch: %v, want gpu.ErrProberClosed", err)
	}
}

func closeTwice(t *testing.T, d Driver) {
	for i := range 3 {
		if err := d.Close(); err != nil {
			t.Errorf("Close, time %d: %v", i+1, err)
		}
	}
}

func afterClose(t *testing.T, d Driver) {
	uuid := list(t, d)[0].UUID
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Devices(t.Context()); !errors.Is(err, gpu.ErrProberClosed) {
		t.Errorf("Devices: %v", err)
	}
	if _, err := d.Read(t.Context(), uuid); !errors.Is(err, gpu.ErrProberClosed) {
		t.Errorf("Read: %v", err)
	}
	if err := d.Watch(t.Context(), func(gpu.Event) {}); !errors.Is(err, gpu.ErrProberClosed) {
		t.Errorf("Watch: %v", err)
	}
}

// atOnce is for the race detector: everything side by side, and Close in the
// middle of it.
func atOnce(t *testing.T, d Driver) {
	all := list(t, d)
	var users, reading sync.WaitGroup
	for range 4 {
		users.Go(func() {
			err := d.Watch(t.Context(), func(gpu.Event) {})
			if !errors.Is(err, gpu.ErrProberClosed) && !errors.Is(err, gpu.ErrUnsupported) {
				t.Errorf("Watch: %v", err)
			}
		})
		reading.Add(1)
		users.Go(func() {
			for i := range 50 {
				if i == 10 {
					reading.Done()
				}
				for _, h := range all {
					r, err := d.Read(t.Context(), h.UUID)
					if err == nil {
						check(t, h, r)
					} else if !errors.Is(err, gpu.ErrProberClosed) {
						t.Errorf("Read: %v", err)
					}
				}
				if again, err := d.Devices(t.Context()); err == nil && !reflect.DeepEqual(again, all) {
					t.Errorf("the list has changed: %+v", again)
				}
			}
		})
	}
	for range 2 {
		users.Go(func() {
			reading.Wait()
			if err := d.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	users.Wait()
}

const shortly = time.Second // of the bubble

func hangs(t *testing.T, d Driver) {
	if d.Hang == nil {
		return
	}
	all := list(t, d)
	long, cancel := context.WithCancel(t.Context())
	watching := watch(long, d) // since before
	release := d.Hang()
	// The first call hangs, the second waits for it. Neither holds up its caller.
	for _, call := range []string{"first", "second"} {
		ctx, done := context.WithTimeout(t.Context(), shortly)
		start := time.Now()
		if _, err := d.Read(ctx, all[0].UUID); !errors.Is(err, gpu.ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the %s Read: %v", call, err)
		}
		if took := time.Since(start); took > shortly {
			t.Errorf("the %s Read took %v", call, took)
		}
		done()
	}
	ctx, done := context.WithTimeout(t.Context(), shortly)
	defer done()
	if again, err := d.Devices(ctx); err != nil && !errors.Is(err, gpu.ErrNoAnswer) || err == nil && !reflect.DeepEqual(again, all) {
		t.Errorf("Devices: %+v, %v", again, err)
	}
	start := time.Now()
	if err := d.Watch(ctx, func(gpu.Event) {}); err != nil {
		t.Errorf("Watch: %v", err)
	}
	if took := time.Since(start); took > shortly {
		t.Errorf("Watch took %v", took)
	}
	start = time.Now()
	cancel()
	if err := <-watching; err != nil && !errors.Is(err, gpu.ErrUnsupported) {
		t.Errorf("the Watch from before: %v", err)
	}
	if late := time.Since(start); late > 0 {
		t.Errorf("the Watch from before ended %v after its context", late)
	}
	release()
	if _, err := d.Read(t.Context(), all[0].UUID); err != nil {
		t.Errorf("once the driver answers again: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func hangsInClose(t *testing.T, d Driver) {
	if d.Hang == nil {
		return
	}
	watching := watch(t.Context(), d)
	release := d.Hang()
	for i := range 2 {
		if err := d.Close(); !errors.Is(err, gpu.ErrNoAnswer) {
			t.Errorf("Close, time %d: %v", i+1, err)
		}
	}
	if err := <-watching; !errors.Is(err, gpu.ErrProberClosed) && !errors.Is(err, gpu.ErrUnsupported) {
		t.Errorf("Watch: %v", err)
	}
	release()
}
