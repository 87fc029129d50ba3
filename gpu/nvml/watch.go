package nvml

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/earshot-fm/earshot/gpu"
)

const (
	// eventPatience is how long one wait for events lasts, and how often it is
	// looked whether a GPU is still there: not every loss has its event.
	eventPatience = 500 * time.Millisecond

	wantedEvents = nvml.EventTypeXidCriticalError | nvml.EventTypeDoubleBitEccError

	// everyInstance stands in an event's place of a MIG instance for all.
	everyInstance = 0xFFFFFFFF
)

// Watch waits for Xids, for memory that could not be put right, and for GPUs
// that vanish. A divided GPU tells of its instances as far as this process may
// see them; what befalls the whole is reported of each instance.
func (p *Prober) Watch(ctx context.Context, report func(gpu.Event)) error {
	ended := make(chan struct{})
	p.mu.Lock()
	err := p.usable(context.WithoutCancel(ctx))
	if err == nil {
		p.listeners[ended] = true
	}
	p.mu.Unlock()
	if err != nil {
		return fmt.Errorf("nvml: %w", err)
	}
	listening, stop := context.WithCancel(ctx)
	defer stop()
	l := &listener{p: p, events: make(chan gpu.Event), failed: make(chan error, 1), left: slices.Clone(p.found)}
	go func() {
		l.failed <- l.listen(listening)
		p.mu.Lock()
		delete(p.listeners, ended)
		p.mu.Unlock()
		close(ended)
	}()
	for {
		select {
		case <-ctx.Done():
			return nil // a wait that hangs is left behind
		case <-p.closing:
			return fmt.Errorf("nvml: %w", gpu.ErrProberClosed)
		case e := <-l.events:
			report(e)
		case err := <-l.failed:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("nvml: %w", err)
		}
	}
}

// listener is Watch's side towards NVML: a goroutine that may hang there.
type listener struct {
	p      *Prober
	events chan gpu.Event
	failed chan error
	left   []device // that are not lost
}

// tell gives an event to Watch.
func (l *listener) tell(ctx context.Context, e gpu.Event) {
	select {
	case l.events <- e:
	case <-ctx.Done():
	}
}

// listen registers and waits, anew whenever a GPU has vanished, until ctx ends
// or NVML gives an error.
func (l *listener) listen(ctx context.Context) error {
	for {
		before := len(l.left)
		err := l.waitForEvents(ctx)
		if len(l.left) == 0 && before > 0 {
			return fmt.Errorf("watch %d GPUs: all: %w", len(l.p.found), gpu.ErrLost)
		}
		// An error with no GPU gone will not end by itself.
		if ctx.Err() != nil || err != nil && len(l.left) == before {
			return err
		}
	}
}

// waitForEvents waits for events of the GPUs that are left. It ends when ctx
// does, when NVML fails, or when a GPU has vanished.
func (l *listener) waitForEvents(ctx context.Context) error {
	set, err := l.register(ctx)
	if err != nil {
		l.look(ctx, true)
		return err
	}
	defer set.Free()
	for ctx.Err() == nil {
		data, r := set.Wait(uint32(eventPatience.Milliseconds()))
		switch r {
		case nvml.SUCCESS:
			if !l.event(ctx, data) && l.look(ctx, true) {
				return nil
			}
		case nvml.ERROR_TIMEOUT:
			if l.look(ctx, false) {
				return nil
			}
		default:
			l.look(ctx, true)
			return failed("wait for events", r)
		}
	}
	return ctx.Err()
}

// register makes a set of the events of the GPUs that are left.
func (l *listener) register(ctx context.Context) (nvml.EventSet, error) {
	if err := l.p.take(ctx); err != nil {
		return nil, err
	}
	defer func() { l.p.turn <- struct{}{} }()
	set, r := l.p.lib.EventSetCreate()
	if r != nvml.SUCCESS {
		return nil, failed("watch for events", r)
	}
	var asked []nvml.Device
	var refused error
	watched := 0
	for _, d := range l.left {
		if slices.Contains(asked, d.whole) {
			continue // another instance of it
		}
		asked = append(asked, d.whole)
		kinds, r := d.whole.GetSupportedEventTypes()
		if r == nvml.SUCCESS && kinds&wantedEvents == 0 {
			r = nvml.ERROR_NOT_SUPPORTED
		}
		if r == nvml.SUCCESS {
			r = d.whole.RegisterEvents(kinds&wantedEvents, set)
		}
		switch r {
		case nvml.SUCCESS:
			watched++
		case nvml.ERROR_FUNCTION_NOT_FOUND: // an old library
			r = nvml.ERROR_NOT_SUPPORTED
			fallthrough
		default:
			refused = cmp.Or(refused, failed("watch "+d.UUID+" for events", r))
		}
	}
	if watched > 0 {
		return set, nil // of those that have events
	}
	set.Free()
	if refused == nil {
		refused = fmt.Errorf("watch for events: the driver shows no GPU: %w", gpu.ErrUnsupported)
	}
	return nil, refused
}

// event tells Watch of an event; false: NVML cannot say whose it is.
func (l *listener) event(ctx context.Context, data nvml.EventData) bool {
	e := gpu.Event{At: l.p.now()}
	switch data.EventType {
	case nvml.EventTypeXidCriticalError:
		e.Fault, e.Code = gpu.FaultXid, data.EventData
	case nvml.EventTypeDoubleBitEccError:
		e.Fault = gpu.FaultECC
	default:
		return true
	}
	known := false
	for _, d := range slices.Clone(l.left) {
		if d.whole != data.Device {
			continue
		}
		known = true
		if d.part.within(data.GpuInstanceId, data.ComputeInstanceId) {
			e.UUID = d.UUID
			l.tell(ctx, e)
		}
	}
	return known
}

// within tells whether an event of these instances is one of p's.
func (p *part) within(gpuInstance, computeInstance uint32) bool {
	is := func(own, event uint32) bool { return own == event || own == everyInstance || event == everyInstance }
	return p == nil || is(p.gpuInstance, gpuInstance) && is(p.computeInstance, computeInstance)
}

// look asks whether the GPUs are still there, tells Watch of those that are
// not, and gives whether there were any. Unless it must, it does not wait for a
// call that is under way: events would be missed for it.
func (l *listener) look(ctx context.Context, must bool) bool {
	if must {
		if l.p.take(ctx) != nil {
			return false
		}
	} else {
		select {
		case <-l.p.turn:
		default:
			return false
		}
	}
	var lost []device
	l.left = slices.DeleteFunc(l.left, func(d device) bool {
		_, r := d.handle.GetMemoryInfo()
		if isLost(r) {
			lost = append(lost, d)
		}
		return isLost(r)
	})
	l.p.turn <- struct{}{}
	for _, d := range lost {
		l.tell(ctx, gpu.Event{UUID: d.UUID, Fault: gpu.FaultLost, At: l.p.now()})
	}
	return len(lost) > 0
}
