package gpu

import (
	"context"
	"errors"
	"time"
)

// Prober tells what the machine knows of its devices: the port that gpu/nvml
// fits for NVIDIA's GPUs and gpu/host for the CPU; gputest is its suite. It is
// safe for concurrent use. The driver below it may hang: Devices and Read end
// when their context does, with ErrNoAnswer.
type Prober interface {
	// Devices lists the devices that this process could see when the Prober
	// was opened, GPUs by PCI address: the same list each time.
	Devices(ctx context.Context) ([]Hardware, error)
	// Read tells how a device is doing; ErrLost for one that is there no more,
	// ErrUnknown for one that Devices does not list.
	Read(ctx context.Context, uuid string) (Reading, error)
	// Watch reports what befalls the devices, one event at a time, until ctx
	// ends; it then returns nil. A device is reported lost once. ErrUnsupported
	// where the driver tells of no events (old drivers, containers without the
	// right): to be logged once, for Read still tells of a device that is lost.
	// ErrLost when every device is. Another error is one of the driver: the
	// caller may watch again after a while.
	Watch(ctx context.Context, report func(Event)) error
	// Close ends every Watch and lets go of the driver, unless a call hangs in
	// it: after a bounded wait that is ErrNoAnswer. All methods give
	// ErrProberClosed afterwards, and Close what it gave before.
	Close() error
}

var (
	// ErrNoDriver is wrapped by the error for a machine without a GPU's driver.
	ErrNoDriver = errors.New("no NVIDIA driver")
	// ErrUnknown is wrapped by the error for a device that was not found when
	// the Prober was opened.
	ErrUnknown = errors.New("no such device")
	// ErrLost is wrapped by the error for a GPU that has vanished from the bus,
	// or that serves nobody until it is reset.
	ErrLost = errors.New("the GPU is lost")
	// ErrNoAnswer is wrapped by the error for a driver that does not answer.
	ErrNoAnswer = errors.New("the driver does not answer")
	// ErrUnsupported is wrapped by the error for what a driver cannot tell.
	ErrUnsupported = errors.New("not supported by the driver")
	// ErrProberClosed is wrapped by the errors of a Prober that was closed.
	ErrProberClosed = errors.New("the driver was let go")
)

// Hardware is what never changes about one device: a GPU, one MIG instance of
// it, or the CPU with the memory that this process may use.
type Hardware struct {
	UUID       string // "GPU-…", "MIG-…"; the CPU's is "cpu"
	Device     string // as the Runtime names it: "cpu", "cuda:0"; empty: CUDA does not show it
	Name       string // "Tesla T4"
	PCI        string // address on the bus: "00000000:00:1E.0"
	Driver     string // version of the driver
	Capability string // CUDA compute capability: "7.5"
	TotalBytes int64
	Limit      string // what bounds the CPU's memory: "cgroup" or "machine"
}

// Reading is how a device is doing at a moment. What the driver does not tell
// is zero.
type Reading struct {
	UsedBytes, FreeBytes, TotalBytes int64
	OwnBytes                         int64     // of UsedBytes, this process's, where the driver names it
	Others                           []Process // that the driver lets us see: in a container usually none
	Busy                             float64   // share of the last moments in which a kernel ran, of the CPU's time since the last Reading, [0, 1]
	Celsius                          int
	Watts                            float64
	Throttled                        []string // reasons why its clocks are held down: "power-cap", "thermal", …
}

// Process is another user of a GPU's memory.
type Process struct {
	PID   int
	Bytes int64
}

// Fault is what an Event tells.
type Fault string

// Faults of a device.
const (
	FaultXid  Fault = "xid"  // a critical error; Event.Code is its number
	FaultECC  Fault = "ecc"  // memory bits that could not be put right
	FaultLost Fault = "lost" // it cannot be reached any more
)

// Event is something that befell a device.
type Event struct {
	UUID  string
	Fault Fault
	Code  uint64 // NVIDIA's number of an Xid
	At    time.Time
}

// mildXids are the Xids that leave the GPU as good as it was for a fresh
// process. An application's own kernels bring about 13 (an exception in one),
// 31 (a bad address), 43 and 45 (stopped for an error before), 68 and 69 (an
// exception of the decoder, of a class). The GPU sees to 63 (a page or row
// retired), 92 (many bits put right) and 94 (lost bits that only one
// application had). Source: NVIDIA, "XID Errors" and "Dynamic Page Retirement".
var mildXids = map[uint64]bool{13: true, 31: true, 43: true, 45: true, 63: true, 68: true, 69: true, 92: true, 94: true}

// Fatal tells whether the device itself is at fault. Where it is not, what a
// process of its own has suffered shows as an error of its runs.
func (e Event) Fatal() bool { return e.Fault != FaultXid || !mildXids[e.Code] }
