// Package nvml is the NVML driver: a gpu.Prober over NVIDIA's management
// library, which is loaded when it is opened. CUDA numbers GPUs in an order of
// its own; the two are matched by UUID.
package nvml

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/earshot-fm/earshot/gpu"
)

// Options are what a Prober talks to. The zero value is the machine's own
// libraries.
type Options struct {
	NVML nvml.Interface           // nil: libnvidia-ml.so.1
	CUDA func() ([]string, error) // UUIDs in CUDA's order; nil: asks libcuda.so.1
}

// Prober asks NVML. One call is under way at a time: NVML serialises them
// anyway, and one that hangs must not take a goroutine for each that follows.
type Prober struct {
	lib     nvml.Interface
	gpus    []gpu.GPU
	handles map[string]nvml.Device // by UUID
	turn    chan struct{}          // holds one element: whoever takes it may call NVML
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
	p := &Prober{lib: o.NVML, turn: make(chan struct{}, 1), handles: map[string]nvml.Device{}}
	p.turn <- struct{}{}
	err := p.call(ctx, func() error {
		if r := p.lib.Init(); r != nvml.SUCCESS {
			return failed("start NVML", r)
		}
		err := p.find(o.CUDA)
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

// call runs f on a goroutine of its own, since NVML hangs where a GPU does,
// and nothing ends a C call. When ctx ends first the call is left behind, and
// keeps the turn until it returns.
func (p *Prober) call(ctx context.Context, f func() error) error {
	select {
	case <-p.turn:
	case <-ctx.Done():
		return fmt.Errorf("%w (%w)", gpu.ErrNoAnswer, context.Cause(ctx))
	}
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
		return fmt.Errorf("%w (%w)", gpu.ErrNoAnswer, context.Cause(ctx))
	}
}

// find fills gpus and handles.
func (p *Prober) find(cuda func() ([]string, error)) error {
	driver, r := p.lib.SystemGetDriverVersion()
	if r != nvml.SUCCESS {
		return failed("read the driver's version", r)
	}
	// NVML without CUDA still tells of memory and health.
	order, _ := cuda()
	count, r := p.lib.DeviceGetCount()
	if r != nvml.SUCCESS {
		return failed("count the GPUs", r)
	}
	for i := range count {
		device, r := p.lib.DeviceGetHandleByIndex(i)
		if r == nvml.ERROR_NO_PERMISSION || r == nvml.ERROR_GPU_IS_LOST {
			continue // of another container; or gone: the rest still serve
		}
		if r != nvml.SUCCESS {
			return failed(fmt.Sprintf("open GPU %d", i), r)
		}
		for _, d := range instances(device) {
			g, err := p.describe(d, device, driver, order)
			if err != nil {
				return err
			}
			p.gpus = append(p.gpus, g)
			p.handles[g.UUID] = d
		}
	}
	slices.SortStableFunc(p.gpus, func(a, b gpu.GPU) int { return cmp.Compare(a.PCI, b.PCI) })
	return nil
}

// instances are a GPU's MIG instances, or itself where it is not divided.
func instances(whole nvml.Device) []nvml.Device {
	if on, _, r := whole.GetMigMode(); r != nvml.SUCCESS || on != nvml.DEVICE_MIG_ENABLE {
		return []nvml.Device{whole}
	}
	var parts []nvml.Device
	most, _ := whole.GetMaxMigDeviceCount()
	for i := range most {
		if part, r := whole.GetMigDeviceHandleByIndex(i); r == nvml.SUCCESS {
			parts = append(parts, part)
		}
	}
	return parts
}

func (p *Prober) describe(d, whole nvml.Device, driver string, order []string) (gpu.GPU, error) {
	uuid, r := d.GetUUID()
	if r != nvml.SUCCESS {
		return gpu.GPU{}, failed("read a GPU's UUID", r)
	}
	g := gpu.GPU{UUID: uuid, Driver: driver}
	g.CUDA = slices.IndexFunc(order, func(u string) bool { return digits(u) == digits(uuid) })
	if g.Name, r = d.GetName(); r != nvml.SUCCESS {
		return gpu.GPU{}, failed("read the name of "+uuid, r)
	}
	memory, r := d.GetMemoryInfo()
	if r != nvml.SUCCESS {
		return gpu.GPU{}, failed("read the memory of "+uuid, r)
	}
	g.TotalBytes = int64(memory.Total)
	// These two decide nothing: an old driver may not tell.
	if info, r := whole.GetPciInfo(); r == nvml.SUCCESS {
		g.PCI = text(info.BusId[:])
	}
	if major, minor, r := whole.GetCudaComputeCapability(); r == nvml.SUCCESS {
		g.Capability = fmt.Sprintf("%d.%d", major, minor)
	}
	return g, nil
}

// GPUs lists what was found when the Prober was opened.
func (p *Prober) GPUs(context.Context) ([]gpu.GPU, error) { return slices.Clone(p.gpus), nil }

// Read asks for a GPU's memory, users, load, heat and power.
func (p *Prober) Read(ctx context.Context, uuid string) (gpu.Reading, error) {
	d, ok := p.handles[uuid]
	if !ok {
		return gpu.Reading{}, fmt.Errorf("nvml: %s: no such GPU was found", uuid)
	}
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

// closing is how long Close waits for a call that hangs.
const closing = 2 * time.Second

// Close shuts NVML down, unless a call hangs in it.
func (p *Prober) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	err := p.call(ctx, func() error {
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
	case nvml.ERROR_GPU_IS_LOST:
		return fmt.Errorf("%s: %w: %w", what, gpu.ErrLost, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// digits of a UUID: CUDA gives it without "GPU-" or "MIG-".
func digits(uuid string) string {
	uuid = strings.ToLower(uuid)
	uuid = strings.TrimPrefix(strings.TrimPrefix(uuid, "gpu-"), "mig-")
	return strings.ReplaceAll(uuid, "-", "")
}

// text of a zero-terminated C string.
func text(chars []int8) string {
	var b strings.Builder
	for _, c := range chars {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}
