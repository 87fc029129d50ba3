// Package nvml is the NVML driver: a gpu.Prober over NVIDIA's management
// library, which is loaded when it is opened. CUDA numbers GPUs in an order of
// its own; the two are matched by UUID.
package nvml

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/earshot-fm/earshot/gpu"
)

// Options are what a Prober talks to. The zero value is the machine's own
// libraries.
type Options struct {
	NVML nvml.Interface           // nil: libnvidia-ml.so.1
	CUDA func() ([]string, error) // UUIDs in CUDA's order; nil: asks libcuda.so.1
	Now  func() time.Time         // of events; nil: time.Now
}

// Prober asks NVML. One call is under way at a time, beside the waits for
// events: NVML serialises them anyway, and one that hangs must not take a
// goroutine for each that follows.
type Prober struct {
	lib   nvml.Interface
	now   func() time.Time
	found []device      // by PCI address
	turn  chan struct{} // holds one element: whoever takes it may call NVML

	closing, closed chan struct{} // closed when Close begins, and when it is done
	closeErr        error

	mu        sync.Mutex
	listeners map[chan struct{}]bool // of Watch; each is closed when its goroutine has ended
}

var _ gpu.Prober = (*Prober)(nil)

// Open loads NVML and finds the GPUs. A machine without the library, or
// without a driver below it, gives gpu.ErrNoDriver.
func Open(ctx context.Context, o Options) (*Prober, error) {
	if o.NVML == nil {
		o.NVML = nvml.New()
	}
	if o.CUDA == nil {
		o.CUDA = cudaUUIDs
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Prober{lib: o.NVML, now: o.Now, turn: make(chan struct{}, 1), closing: make(chan struct{}), closed: make(chan struct{}), listeners: map[chan struct{}]bool{}}
	p.turn <- struct{}{}
	err := p.call(ctx, func() error {
		if r := p.lib.Init(); r != nvml.SUCCESS {
			return failed("start NVML", r)
		}
		err := p.find(o.CUDA)
		if err == nil && ctx.Err() != nil {
			err = noAnswer(ctx) // nobody waits for it any more
		}
		if err != nil {
			p.lib.Shutdown()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("nvml: %w", err)
	}
	return p, nil
}

func noAnswer(ctx context.Context) error {
	return fmt.Errorf("%w (%w)", gpu.ErrNoAnswer, context.Cause(ctx))
}

// usable tells whether a call may be made.
func (p *Prober) usable(ctx context.Context) error {
	select {
	case <-p.closing:
		return gpu.ErrProberClosed
	default:
	}
	if ctx.Err() != nil {
		return noAnswer(ctx)
	}
	return nil
}

// take waits for the turn, which whoever has it puts back.
func (p *Prober) take(ctx context.Context) error {
	if err := p.usable(ctx); err != nil {
		return err
	}
	select {
	case <-p.turn:
	case <-p.closing:
		return gpu.ErrProberClosed
	case <-ctx.Done():
		return noAnswer(ctx)
	}
	if err := p.usable(ctx); err != nil {
		p.turn <- struct{}{}
		return err
	}
	return nil
}

// call runs f when it is its turn.
func (p *Prober) call(ctx context.Context, f func() error) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	return p.run(ctx, f)
}

// run runs f on a goroutine of its own, since NVML hangs where a GPU does, and
// nothing ends a C call. When ctx ends first the call is left behind, and keeps
// the turn until it returns.
func (p *Prober) run(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := f()
		p.turn <- struct{}{}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return noAnswer(ctx)
	}
}

// Devices lists what was found when the Prober was opened.
func (p *Prober) Devices(ctx context.Context) ([]gpu.Hardware, error) {
	if err := p.usable(ctx); err != nil {
		return nil, fmt.Errorf("nvml: %w", err)
	}
	out := make([]gpu.Hardware, len(p.found))
	for i, d := range p.found {
		out[i] = d.Hardware
	}
	return out, nil
}

// Read asks for a GPU's memory, users, load, heat and power.
func (p *Prober) Read(ctx context.Context, uuid string) (gpu.Reading, error) {
	i := slices.IndexFunc(p.found, func(d device) bool { return d.UUID == uuid })
	if i < 0 {
		return gpu.Reading{}, fmt.Errorf("nvml: %s: %w", uuid, gpu.ErrUnknown)
	}
	d := p.found[i].handle
	var out gpu.Reading
	err := p.call(ctx, func() error {
		var r gpu.Reading
		memory, code := d.GetMemoryInfo()
		if code != nvml.SUCCESS {
			return failed("read the memory of "+uuid, code)
		}
		r.TotalBytes, r.UsedBytes, r.FreeBytes = int64(memory.Total), int64(memory.Used), int64(memory.Free)
		if users, code := d.GetComputeRunningProcesses(); code == nvml.SUCCESS {
			for _, u := range users {
				bytes := int64(u.UsedGpuMemory)
				if bytes < 0 { // all ones: the driver does not know
					bytes = 0
				}
				if int(u.Pid) == os.Getpid() {
					r.OwnBytes += bytes
				} else {
					r.Others = append(r.Others, gpu.Process{PID: int(u.Pid), Bytes: bytes})
				}
			}
		}
		if rates, code := d.GetUtilizationRates(); code == nvml.SUCCESS {
			r.Busy = float64(rates.Gpu) / 100
		}
		if celsius, code := d.GetTemperature(nvml.TEMPERATURE_GPU); code == nvml.SUCCESS {
			r.Celsius = int(celsius)
		}
		if milliwatts, code := d.GetPowerUsage(); code == nvml.SUCCESS {
			r.Watts = float64(milliwatts) / 1000
		}
		if bits, code := d.GetCurrentClocksThrottleReasons(); code == nvml.SUCCESS {
			r.Throttled = throttled(bits)
		}
		out = r
		return nil
	})
	if err != nil {
		return gpu.Reading{}, fmt.Errorf("nvml: %w", err)
	}
	return out, nil
}

// throttled names the reasons that cost speed; idleness and clocks that
// somebody has set do not count.
func throttled(bits uint64) []string {
	var out []string
	for _, reason := range []struct {
		bit  uint64
		name string
	}{
		{nvml.ClocksEventReasonSwPowerCap, "power-cap"},
		{nvml.ClocksThrottleReasonHwSlowdown, "hardware"},
		{nvml.ClocksEventReasonSwThermalSlowdown, "thermal"},
		{nvml.ClocksThrottleReasonHwThermalSlowdown, "hardware-thermal"},
		{nvml.ClocksThrottleReasonHwPowerBrakeSlowdown, "power-brake"},
	} {
		if bits&reason.bit != 0 {
			out = append(out, reason.name)
		}
	}
	return out
}

// closePatience is how long Close waits for calls that hang: longer than a
// wait for events lasts.
const closePatience = 2 * time.Second

// Close ends the Watches and shuts NVML down, unless a call hangs in it.
func (p *Prober) Close() error {
	p.mu.Lock()
	select {
	case <-p.closing:
		p.mu.Unlock()
		<-p.closed
		return p.closeErr
	default:
	}
	close(p.closing)
	listeners := slices.Collect(maps.Keys(p.listeners))
	p.mu.Unlock()
	p.closeErr = p.shut(listeners)
	close(p.closed)
	return p.closeErr
}

// shut waits for the Watches' goroutines and shuts NVML down.
func (p *Prober) shut(listeners []chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	for _, ended := range listeners {
		select {
		case <-ended:
		case <-ctx.Done():
			return fmt.Errorf("nvml: stop waiting for events: %w", noAnswer(ctx))
		}
	}
	select {
	case <-p.turn:
	case <-ctx.Done():
		return fmt.Errorf("nvml: stop NVML: %w", noAnswer(ctx))
	}
	err := p.run(ctx, func() error {
		if r := p.lib.Shutdown(); r != nvml.SUCCESS {
			return failed("stop NVML", r)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("nvml: %w", err)
	}
	return nil
}

// failed makes an error of what NVML returned.
func failed(what string, r nvml.Return) error {
	err := errors.New(nvml.ErrorString(r))
	switch r {
	case nvml.ERROR_LIBRARY_NOT_FOUND, nvml.ERROR_DRIVER_NOT_LOADED, nvml.ERROR_FUNCTION_NOT_FOUND:
		return fmt.Errorf("%s: %w: %w", what, gpu.ErrNoDriver, err)
	case nvml.ERROR_NOT_SUPPORTED, nvml.ERROR_NO_PERMISSION:
		return fmt.Errorf("%s: %w: %w", what, gpu.ErrUnsupported, err)
	}
	if isLost(r) {
		return fmt.Errorf("%s: %w: %w", what, gpu.ErrLost, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// isLost tells whether a GPU can be reached no more.
func isLost(r nvml.Return) bool {
	return r == nvml.ERROR_GPU_IS_LOST || r == nvml.ERROR_GPU_NOT_FOUND || r == nvml.ERROR_RESET_REQUIRED
}
