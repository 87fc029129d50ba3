package nvml

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"

	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/gpu/gputest"
)

// answer is what one wait for events gives.
type answer struct {
	data nvml.EventData
	code nvml.Return
}

// events is a set whose waits give answers, then time out.
func events(answers ...answer) *mock.EventSet {
	next := make(chan answer, len(answers))
	for _, a := range answers {
		next <- a
	}
	return &mock.EventSet{
		FreeFunc: func() nvml.Return { return nvml.SUCCESS },
		WaitFunc: func(milliseconds uint32) (nvml.EventData, nvml.Return) {
			select {
			case a := <-next:
				return a.data, a.code
			default:
			}
			<-time.After(time.Duration(milliseconds) * time.Millisecond)
			return nvml.EventData{}, nvml.ERROR_TIMEOUT
		},
	}
}

func eventless() *mock.EventSet { return events() }

func xid(d nvml.Device, code uint64) answer {
	return answer{nvml.EventData{Device: d, EventType: nvml.EventTypeXidCriticalError, EventData: code, GpuInstanceId: everyInstance, ComputeInstanceId: everyInstance}, nvml.SUCCESS}
}

// watched gives what Watch reports in a while of the bubble, and its error.
func watched(t *testing.T, p *Prober) ([]gpu.Event, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*eventPatience)
	defer cancel()
	var got []gpu.Event
	err := p.Watch(ctx, func(e gpu.Event) { got = append(got, e) })
	return got, err
}

func expect(t *testing.T, p *Prober, want ...gpu.Event) {
	t.Helper()
	if got, err := watched(t, p); err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// gate makes calls hang.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // nil: open
}

func (g *gate) pass() {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		<-shut
	}
}

func (g *gate) hang() (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	shut := make(chan struct{})
	g.shut = shut
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.shut = nil
		close(shut)
	}
}

// gated puts a gate before what Read, Watch and Close ask first.
func gated(g *gate, devices ...*mock.Device) *mock.Interface {
	for _, d := range devices {
		memory := d.GetMemoryInfoFunc
		d.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { g.pass(); return memory() }
	}
	lib := machine(devices...)
	lib.ShutdownFunc = func() nvml.Return { g.pass(); return nvml.SUCCESS }
	lib.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) {
		g.pass()
		set := eventless()
		wait := set.WaitFunc
		set.WaitFunc = func(ms uint32) (nvml.EventData, nvml.Return) { g.pass(); return wait(ms) }
		set.FreeFunc = func() nvml.Return { g.pass(); return nvml.SUCCESS }
		return set, nvml.SUCCESS
	}
	return lib
}

func TestConformance(t *testing.T) {
	for name, change := range map[string]func(lib *mock.Interface, devices []*mock.Device){
		"with events": func(*mock.Interface, []*mock.Device) {},
		"without": func(_ *mock.Interface, devices []*mock.Device) {
			for _, d := range devices {
				d.RegisterEventsFunc = func(uint64, nvml.EventSet) nvml.Return { return nvml.ERROR_NOT_SUPPORTED }
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			gputest.Run(t, func(t *testing.T) gputest.Driver {
				g := &gate{}
				devices := []*mock.Device{t4(first, "00000000:00:1E.0"), t4(second, "00000000:00:1D.0")}
				lib := gated(g, devices...)
				change(lib, devices)
				p, err := Open(t.Context(), Options{NVML: lib, CUDA: func() ([]string, error) { return []string{digits(first)}, nil }})
				if err != nil {
					t.Fatal(err)
				}
				return gputest.Driver{Prober: p, Hang: g.hang}
			})
		})
	}
}

func TestWatchReportsFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, other := t4(first, ""), t4(second, "")
		lib := machine(d, other)
		set := events(
			answer{nvml.EventData{Device: d, EventType: nvml.EventTypePState}, nvml.SUCCESS},
			xid(d, 79),
			answer{code: nvml.ERROR_TIMEOUT}, // an interrupt, say
			xid(other, 31),
			answer{nvml.EventData{Device: d, EventType: nvml.EventTypeDoubleBitEccError, GpuInstanceId: everyInstance, ComputeInstanceId: everyInstance}, nvml.SUCCESS},
		)
		lib.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return set, nvml.SUCCESS }
		p := open(t, lib)
		want := []gpu.Event{
			{UUID: first, Fault: gpu.FaultXid, Code: 79, At: noon},
			{UUID: second, Fault: gpu.FaultXid, Code: 31, At: noon},
			{UUID: first, Fault: gpu.FaultECC, At: noon},
		}
		expect(t, p, want...)
		if !want[0].Fatal() || want[1].Fatal() || !want[2].Fatal() {
			t.Error("an Xid 79 and lost bits are the GPU's own faults, an Xid 31 a program's")
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if n := len(set.FreeCalls()); n != 1 {
			t.Errorf("the event set was freed %d times", n)
		}
	})
}

// An Xid comes while a reading is under way, and that reading does not end.
func TestAnXidIsHeardWhileAReadHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := t4(first, "")
		lib := machine(d)
		happens := make(chan answer)
		set := eventless()
		set.WaitFunc = func(milliseconds uint32) (nvml.EventData, nvml.Return) {
			select {
			case a := <-happens:
				return a.data, a.code
			case <-time.After(time.Duration(milliseconds) * time.Millisecond):
				return nvml.EventData{}, nvml.ERROR_TIMEOUT
			}
		}
		lib.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return set, nvml.SUCCESS }
		p := open(t, lib)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		heard, ended := make(chan gpu.Event, 1), make(chan error, 1)
		go func() { ended <- p.Watch(ctx, func(e gpu.Event) { heard <- e }) }()
		synctest.Wait()

		answers := make(chan struct{})
		d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { <-answers; return nvml.Utilization{}, nvml.SUCCESS }
		read := make(chan error, 1)
		go func() {
			_, err := p.Read(ctx, first)
			read <- err
		}()
		<-time.After(4 * eventPatience)
		happens <- xid(d, 79)
		if e := <-heard; e.Code != 79 {
			t.Errorf("%+v", e)
		}
		cancel()
		if err := <-read; !errors.Is(err, gpu.ErrNoAnswer) {
			t.Errorf("Read: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Watch: %v", err)
		}
		close(answers)
	})
}

func TestALostGPUIsReportedOnceAndTheOthersAreWatchedOn(t *testing.T) {
	for name, wait := range map[string]answer{
		"the wait says so":              {code: nvml.ERROR_GPU_IS_LOST},
		"no event says so":              {code: nvml.ERROR_TIMEOUT},
		"an event that names no device": {nvml.EventData{Device: &mock.Device{}, EventType: nvml.EventTypeXidCriticalError, EventData: 79}, nvml.SUCCESS},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, other := t4(first, ""), t4(second, "")
				lib := machine(d, other)
				sets := []*mock.EventSet{events(wait), events(xid(other, 48))}
				lib.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) {
					set := sets[0]
					sets = sets[1:]
					return set, nvml.SUCCESS
				}
				p := open(t, lib)
				d.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, nvml.ERROR_GPU_IS_LOST }
				expect(t, p,
					gpu.Event{UUID: first, Fault: gpu.FaultLost, At: noon},
					gpu.Event{UUID: second, Fault: gpu.FaultXid, Code: 48, At: noon})
				if n := len(d.RegisterEventsCalls()); n != 1 {
					t.Errorf("events of the lost GPU were asked for %d times", n)
				}
			})
		})
	}
}

func TestWatchEndsWhenAllGPUsAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := t4(first, "")
		p := open(t, machine(d))
		d.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, nvml.ERROR_GPU_IS_LOST }
		got, err := watched(t, p)
		if !errors.Is(err, gpu.ErrLost) || !slices.Equal(got, []gpu.Event{{UUID: first, Fault: gpu.FaultLost, At: noon}}) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestWatchTellsOfAnErrorOfNVML(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lib := machine(t4(first, ""))
		set := events(answer{code: nvml.ERROR_UNKNOWN})
		lib.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return set, nvml.SUCCESS }
		p := open(t, lib)
		if got, err := watched(t, p); err == nil || errors.Is(err, gpu.ErrLost) || errors.Is(err, gpu.ErrUnsupported) || len(got) > 0 {
			t.Errorf("%+v, %v", got, err)
		}
		expect(t, p) // the set's next waits time out: Watch works again
	})
}

func TestWithoutEventsWatchSaysSo(t *testing.T) {
	for name, change := range map[string]func(*mock.Interface, *mock.Device){
		"no event sets": func(lib *mock.Interface, _ *mock.Device) {
			lib.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return nil, nvml.ERROR_NOT_SUPPORTED }
		},
		"no kind of event": func(_ *mock.Interface, d *mock.Device) {
			d.GetSupportedEventTypesFunc = func() (uint64, nvml.Return) { return nvml.EventTypePState, nvml.SUCCESS }
		},
		"kinds not told": func(_ *mock.Interface, d *mock.Device) {
			d.GetSupportedEventTypesFunc = func() (uint64, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED }
		},
		"an old library": func(_ *mock.Interface, d *mock.Device) {
			d.RegisterEventsFunc = func(uint64, nvml.EventSet) nvml.Return { return nvml.ERROR_FUNCTION_NOT_FOUND }
		},
		"not in this container": func(_ *mock.Interface, d *mock.Device) {
			d.RegisterEventsFunc = func(uint64, nvml.EventSet) nvml.Return { return nvml.ERROR_NO_PERMISSION }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := t4(first, "")
				lib := machine(d)
				change(lib, d)
				if got, err := watched(t, open(t, lib)); !errors.Is(err, gpu.ErrUnsupported) || len(got) > 0 {
					t.Errorf("%+v, %v", got, err)
				}
			})
		})
	}
	t.Run("no GPU", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if _, err := watched(t, open(t, machine())); !errors.Is(err, gpu.ErrUnsupported) {
				t.Errorf("%v", err)
			}
		})
	})
	t.Run("of one GPU of two", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, other := t4(first, ""), t4(second, "")
			d.RegisterEventsFunc = func(uint64, nvml.EventSet) nvml.Return { return nvml.ERROR_NOT_SUPPORTED }
			lib := machine(d, other)
			lib.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return events(xid(other, 79)), nvml.SUCCESS }
			expect(t, open(t, lib), gpu.Event{UUID: second, Fault: gpu.FaultXid, Code: 79, At: noon})
		})
	})
}

func TestAnEventOfADividedGPUIsItsInstances(t *testing.T) {
	const one, two = "MIG-11111111-2222-3333-4444-555555555555", "MIG-22222222-2222-3333-4444-555555555555"
	synctest.Test(t, func(t *testing.T) {
		whole := t4(first, "")
		whole.GetMigModeFunc = func() (int, int, nvml.Return) {
			return nvml.DEVICE_MIG_ENABLE, nvml.DEVICE_MIG_ENABLE, nvml.SUCCESS
		}
		whole.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 2, nvml.SUCCESS }
		parts := []*mock.Device{t4(one, ""), t4(two, "")}
		for i, part := range parts {
			part.GetGpuInstanceIdFunc = func() (int, nvml.Return) { return 7 + i, nvml.SUCCESS }
			part.GetComputeInstanceIdFunc = func() (int, nvml.Return) { return 0, nvml.SUCCESS }
			part.RegisterEventsFunc = nil // there are none of an instance
		}
		whole.GetMigDeviceHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) { return parts[i], nvml.SUCCESS }
		ofTwo := xid(whole, 94)
		ofTwo.data.GpuInstanceId, ofTwo.data.ComputeInstanceId = 8, 0
		lib := machine(whole)
		lib.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return events(ofTwo, xid(whole, 79)), nvml.SUCCESS }
		expect(t, open(t, lib),
			gpu.Event{UUID: two, Fault: gpu.FaultXid, Code: 94, At: noon},
			gpu.Event{UUID: one, Fault: gpu.FaultXid, Code: 79, At: noon},
			gpu.Event{UUID: two, Fault: gpu.FaultXid, Code: 79, At: noon})
		if n := len(whole.RegisterEventsCalls()); n != 1 {
			t.Errorf("the whole GPU was registered %d times", n)
		}
	})
}

// NVML is not shut down under a wait that hangs in it.
func TestCloseLeavesNVMLToAWaitThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lib, answers := machine(t4(first, "")), make(chan struct{})
		set := eventless()
		set.WaitFunc = func(uint32) (nvml.EventData, nvml.Return) { <-answers; return nvml.EventData{}, nvml.ERROR_TIMEOUT }
		lib.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return set, nvml.SUCCESS }
		p, err := Open(t.Context(), Options{NVML: lib, CUDA: func() ([]string, error) { return nil, nil }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Watch(ctx, func(gpu.Event) {}) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch: %v", err)
		}
		if err := p.Close(); !errors.Is(err, gpu.ErrNoAnswer) {
			t.Errorf("Close: %v", err)
		}
		if n := len(lib.ShutdownCalls()); n != 0 {
			t.Error("NVML was shut down")
		}
		close(answers)
		synctest.Wait()
		if n := len(set.FreeCalls()); n != 1 {
			t.Errorf("the event set was freed %d times", n)
		}
	})
}
