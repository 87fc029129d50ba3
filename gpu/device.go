package gpu

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"time"
)

// Device is what sessions run on. The CPU is one.
type Device struct {
	Name         string // as the Runtime names it: "cpu", "cuda:0"
	Kind         string // what it is, for profiles: "Tesla T4"; empty: Name
	MemoryBytes  int64  // of it, or what our models may take; 0: no bound
	SpareBytes   int64  // of the device beside MemoryBytes: others' use of it takes nothing from us
	ReserveBytes int64  // of MemoryBytes that models are not given
	Leases       int    // batches at a time; 0: one for each core on "cpu", else 1
	LeftOut      string // why it gets no work from the start; empty: it does

	// Read tells how the device is doing (Prober.Read); nil: nobody knows, and
	// all of its memory is ours.
	Read func(context.Context) (Reading, error)
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

// device is a Device at work. What is below ledger is guarded by Scheduler.mu.
type device struct {
	Device
	ledger *Ledger
	gauges ledgerGauges

	free      int                      // leases
	residents map[string]*resident     // by the model's sha256
	profiles  map[string]*Profile      // likewise
	reloads   map[string]time.Duration // how long opening a model took the last time
	worked    map[string]bool          // models that have run well here
	faults    int                      // in a row
	out       bool                     // left out for good
	ready     int                      // what it can run at once, as next sees it: nothing, backlogReady, liveReady
	held      bool                     // begins nothing, so that one item that needs most of it gets room
	reading   Reading
}

const (
	nothing = iota
	backlogReady
	liveReady
)

func readiness(l *lane) int {
	if l.live.n > 0 {
		return liveReady
	}
	return backlogReady
}

// used is what a reading says that is in use of the memory that may be ours.
func (d Device) used(r Reading) int64 { return max(0, r.UsedBytes-d.SpareBytes) }

func newDevice(d Device) *device {
	d.Kind = cmp.Or(d.Kind, d.Name)
	return &device{
		Device: d,
		ledger: NewLedger(LedgerOptions{Total: d.MemoryBytes, Reserve: d.ReserveBytes, SharedArena: d.Name == "cpu"}),
		free:   d.leases(), residents: map[string]*resident{}, profiles: map[string]*Profile{},
		reloads: map[string]time.Duration{}, worked: map[string]bool{}, out: d.LeftOut != "",
	}
}

const (
	// readEvery is how often a device is asked how it is doing.
	readEvery = time.Second
	// readPatience is how long it may take to answer.
	readPatience = 5 * time.Second
)

// monitor keeps the ledger true to what the device says, until ctx ends.
func (s *Scheduler) monitor(ctx context.Context, d *device) {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	quiet := false // a failure was told
	for {
		err := s.observe(ctx, d)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrLost):
			s.Lose(d.Name, err)
			return
		case err != nil && !quiet:
			s.options.Log.Warn("a device does not tell how it is doing; its ledger stays as it was", "device", d.Name, "error", err)
		}
		quiet = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Scheduler) observe(ctx context.Context, d *device) error {
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	settled := d.ledger.Settled()
	r, err := d.Read(ctx)
	if err != nil {
		return err
	}
	s.metrics.reading(d.Name, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	// Under the lock: a batch that is being planned counts on what it was told.
	d.ledger.Observe(d.used(r), r.OwnBytes, settled)
	d.reading = r
	d.gauges.show(d.ledger.Balance())
	s.dispatch() // what others gave back may be enough
	return nil
}

// DeviceState is how a device stands at a moment.
type DeviceState struct {
	Name      string
	Out       bool // left out after repeated faults
	Balance   Balance
	Reading   Reading // the last; zero where there is none
	Residents []Resident
}

// Resident is a model that is open on a device.
type Resident struct {
	Model    string // name@version
	Weights  int64  // bytes
	Arena    int64  // bytes; 0 on the CPU, where all share one
	Runs     int    // going on now
	Measured bool   // its profile was measured, not guessed
}

// Devices tells how the devices stand.
func (s *Scheduler) Devices() []DeviceState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []DeviceState
	for _, d := range s.devices {
		state := DeviceState{Name: d.Name, Out: d.out, Balance: d.ledger.Balance(), Reading: d.reading}
		for _, r := range d.ordered() {
			weights, arena := r.account.Bytes()
			state.Residents = append(state.Residents, Resident{
				Model: r.model.Manifest.Ref(), Weights: weights, Arena: arena, Runs: r.runs,
				Measured: d.profiles[r.model.SHA256].Measured(),
			})
		}
		all = append(all, state)
	}
	return all
}
