package gpu

import "runtime"

// Device is what a session runs on. The CPU is one.
type Device struct {
	Name        string // as the Runtime names it: "cpu", "cuda:0"
	MemoryBytes int64  // what our models may take of its memory; 0: no bound
	Leases      int    // batches at a time; 0: one for each core on "cpu", else 1
}

func (d Device) leases() int {
	if d.Leases > 0 {
		return d.Leases
	}
	if d.Name == "cpu" {
		return runtime.GOMAXPROCS(0)
	}
	return 1
}
