package gpu

import (
	"context"
	"errors"
)

// Prober tells what the driver of the machine's GPUs knows of them: the port
// that gpu/nvml fits. It is safe for concurrent use. The driver may hang: every
// method ends when its context does, with ErrNoAnswer.
type Prober interface {
	// GPUs lists the GPUs that this process can see, by PCI address.
	GPUs(ctx context.Context) ([]GPU, error)
	// Read tells how a GPU is doing; ErrLost for one that is there no more.
	Read(ctx context.Context, uuid string) (Reading, error)
	// Close lets go of the driver.
	Close() error
}

var (
	// ErrNoDriver is wrapped by the error for a machine without a GPU's driver.
	ErrNoDriver = errors.New("no NVIDIA driver")
	// ErrLost is wrapped by the error for a GPU that has vanished from the bus.
	ErrLost = errors.New("the GPU is lost")
	// ErrNoAnswer is wrapped by the error for a driver that does not answer.
	ErrNoAnswer = errors.New("the driver does not answer")
)

// GPU is what never changes about one GPU, or one MIG instance of it.
type GPU struct {
	UUID       string // "GPU-…", "MIG-…"
	Name       string // "Tesla T4"
	PCI        string // address on the bus: "00000000:00:1E.0"
	Driver     string // version of the driver
	Capability string // CUDA compute capability: "7.5"
	TotalBytes int64
	CUDA       int // its index for CUDA, as in "cuda:0"; -1: CUDA does not show it
}

// Reading is how a GPU is doing at a moment. What the driver does not tell is
// zero.
type Reading struct {
	UsedBytes, FreeBytes, TotalBytes int64
	OwnBytes                         int64     // of this process, where the driver names it
	Others                           []Process // that the driver lets us see: in a container usually none
	Busy                             float64   // share of the last moments in which a kernel ran, [0, 1]
	Celsius                          int
	Watts                            float64
	Throttled                        []string // reasons why its clocks are held down: "power-cap", "thermal", …
}

// Process is another user of a GPU's memory.
type Process struct {
	PID   int
	Bytes int64
}
