package gpu

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
)

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

// ErrNoRoom is wrapped by the error for a model that does not fit into what a
// device has left.
var ErrNoRoom = errors.New("does not fit into the device's memory")

// Ledger keeps account of one device's memory: what is promised to models'
// weights never exceeds the budget. It is safe for concurrent use.
type Ledger struct {
	mu     sync.Mutex
	budget int64 // 0: no bound
	taken  int64
}

// NewLedger makes a ledger over a budget; 0 is no bound.
func NewLedger(budgetBytes int64) *Ledger { return &Ledger{budget: budgetBytes} }

// Take promises bytes to what, or gives an error that wraps ErrNoRoom. The
// promise ends with the returned function, which may be called once.
func (l *Ledger) Take(what string, bytes int64) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.budget > 0 && l.taken+bytes > l.budget {
		return nil, fmt.Errorf("gpu: %s needs %d MB, and %d MB of %d are left: %w", what, bytes>>20, (l.budget-l.taken)>>20, l.budget>>20, ErrNoRoom)
	}
	l.taken += bytes
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.taken -= bytes
	}, nil
}

// Taken is the sum of the promises that hold now, in bytes.
func (l *Ledger) Taken() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken
}
