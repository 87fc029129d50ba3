package gpu

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// Meter tells how much memory this process takes of a device: the port through
// which Measure sees it. It is used from one goroutine.
type Meter interface {
	// Held is what is taken now, in bytes.
	Held(ctx context.Context) (int64, error)
	// Peak calls run and gives the most that was taken meanwhile, in bytes. An
	// error of run is returned as it is.
	Peak(ctx context.Context, run func() error) (int64, error)
}

// ResidentMeter is the Meter of the CPU, on Linux: this process's resident memory
// without pages of files, which the kernel can drop, and without what Go held
// before. What Go takes in a run counts, its garbage hardly: that is the
// process's, whatever models it runs.
type ResidentMeter struct {
	Trim func() // gives back what the engine's allocator keeps free; nil: it keeps nothing
}

var _ Meter = ResidentMeter{}

// Held is the resident memory now, but for Go's.
func (r ResidentMeter) Held(context.Context) (int64, error) {
	own := r.settle()
	s, err := readStatus()
	if err != nil {
		return 0, err
	}
	return s.anonymous - own, nil
}

// frugal is how much garbage Go may have during a run, in per cent of what is
// in use: with the usual 100 a peak is mostly chance.
const frugal = 2

// Peak is by the kernel's own high-water mark (proc_pid_status(5), VmHWM),
// which it first sets back (proc_pid_clear_refs(5)).
func (r ResidentMeter) Peak(_ context.Context, run func() error) (int64, error) {
	own := r.settle()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return 0, fmt.Errorf("gpu: set the resident set's high-water mark back: %w", err)
	}
	usual := debug.SetGCPercent(frugal)
	err := run()
	debug.SetGCPercent(usual)
	if err != nil {
		return 0, err
	}
	s, err := readStatus()
	if err != nil {
		return 0, err
	}
	return s.most - s.files - own, nil
}

// settle gives all that Go can do without back to the kernel, and tells what it
// still holds, in bytes.
func (r ResidentMeter) settle() int64 {
	debug.FreeOSMemory()
	debug.FreeOSMemory() // what a sync.Pool keeps outlives the first
	if r.Trim != nil {
		r.Trim()
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.Sys - s.HeapReleased)
}

// status is what the kernel tells of this process's resident memory, in bytes.
type status struct {
	anonymous int64
	files     int64 // pages of files and shared memory
	most      int64 // of all, since the mark was set back
}

func readStatus() (status, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return status{}, fmt.Errorf("gpu: this process's memory can be measured on Linux alone: %w", err)
	}
	var s status
	found := 0
	for line := range strings.Lines(string(b)) {
		var name string
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "%s %d kB", &name, &kilobytes); n != 2 {
			continue
		}
		switch found++; name {
		case "VmHWM:":
			s.most = kilobytes << 10
		case "RssAnon:":
			s.anonymous = kilobytes << 10
		case "RssFile:", "RssShmem:":
			s.files += kilobytes << 10
		default:
			found--
		}
	}
	if found != 4 {
		return s, fmt.Errorf("gpu: /proc/self/status does not tell this process's resident memory")
	}
	return s, nil
}

// DriverMeter is the Meter of a GPU, by its driver. onnxruntime's arenas keep
// what they once took, so that what is held after a run is the most that was
// held in it.
type DriverMeter struct {
	Prober Prober
	UUID   string // of the GPU
}

var _ Meter = DriverMeter{}

// Held is what the driver says that this process holds or, where it does not
// name processes (in most containers), what all hold: nobody else may then begin
// or end to use the GPU.
func (d DriverMeter) Held(ctx context.Context) (int64, error) {
	r, err := d.Prober.Read(ctx, d.UUID)
	if err != nil {
		return 0, fmt.Errorf("gpu: read the memory of %s: %w", d.UUID, err)
	}
	if r.OwnBytes > 0 {
		return r.OwnBytes, nil
	}
	return r.UsedBytes, nil
}

// Peak is Held after the run.
func (d DriverMeter) Peak(ctx context.Context, run func() error) (int64, error) {
	if err := run(); err != nil {
		return 0, err
	}
	return d.Held(ctx)
}
