package gpu

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// ErrNoRoom is wrapped by the error for a model that does not fit into what a
// device has left.
var ErrNoRoom = errors.New("does not fit into the device's memory")

// Ledger keeps account of one device's memory, so that what our models take
// together with what others use never exceeds it:
//
//	left = total − reserve − foreign use − Σ over our models (weights + arena)
//
// An arena is what onnxruntime has taken for activations and keeps: it counts
// by its high-water mark, and what of it is not in use is free for the sessions
// that own it and for nobody else. On a GPU each model has its own; on the CPU
// all share one. The Ledger is safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	options LedgerOptions
	foreign int64
	common  *arena // shared by all accounts; nil: each has its own
	open    []*Account
}

// LedgerOptions configures a Ledger. All are bytes.
type LedgerOptions struct {
	Total   int64 // of the device; 0: no bound
	Reserve int64 // that nobody is given: for what no account foresees
	// SharedArena: activations of all models come from one arena, as on the CPU.
	SharedArena bool
}

// arena is what activations come from.
type arena struct {
	held int64 // taken from the device: the most that was ever used
	used int64 // promised to the runs that go on now
}

// Account is one model's memory on a device.
type Account struct {
	ledger  *Ledger
	model   string
	weights int64
	arena   *arena
	lent    int64 // of weights and arena, to the account that comes in this one's place
	closed  bool
}

// NewLedger makes a ledger.
func NewLedger(o LedgerOptions) *Ledger {
	l := &Ledger{options: o}
	if o.SharedArena {
		l.common = &arena{}
	}
	return l
}

// Open admits a model's weights, or gives an error that wraps ErrNoRoom. With
// room bytes left for its runs: a model that could not run then is not admitted.
// The victims' bytes count as left: they are of models that will be closed
// before this one is loaded.
func (l *Ledger) Open(model string, weights, room int64, victims ...*Account) (*Account, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &Account{ledger: l, model: model, weights: weights, arena: l.common}
	grow := room
	if a.arena == nil {
		a.arena = &arena{}
	} else {
		grow = max(0, a.arena.used+room-a.arena.held)
	}
	if !l.bounded() {
		l.open = append(l.open, a)
		return a, nil
	}
	missing := weights + grow - l.left()
	for _, v := range victims {
		if missing > 0 {
			missing -= v.balance()
		}
	}
	if missing > 0 {
		return nil, fmt.Errorf("gpu: %s needs %s, and %s of %s are left: %w", model, mb(weights+grow), mb(weights+grow-missing), mb(l.options.Total), ErrNoRoom)
	}
	short := weights - l.left()
	for _, v := range victims {
		if short <= 0 {
			break
		}
		take := min(short, v.balance())
		v.lent += take
		short -= take
	}
	l.open = append(l.open, a)
	return a, nil
}

func mb(bytes int64) string { return fmt.Sprintf("%d MB", (bytes+1<<20-1)>>20) }

// Run promises bytes of activations to a run, which gives them back with the
// returned function; calling it again does nothing.
func (a *Account) Run(bytes int64) (done func(), err error) {
	l := a.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	grow := max(0, a.arena.used+bytes-a.arena.held)
	if l.bounded() && grow > 0 && grow > l.left() {
		return nil, fmt.Errorf("gpu: a run of %s needs %s more, and %s of %s are left: %w", a.model, mb(grow), mb(l.left()), mb(l.options.Total), ErrNoRoom)
	}
	a.arena.used += bytes
	a.arena.held += grow
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		a.arena.used -= bytes
	}), nil
}

// Room is the most that Run would give now, in bytes; ok is false where nothing
// bounds it.
func (a *Account) Room() (bytes int64, ok bool) {
	l := a.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	return a.arena.held - a.arena.used + max(0, l.left()), l.bounded()
}

// Raise corrects the account by what was seen on the device: bytes more of
// weights, and of the arena, than it says.
func (a *Account) Raise(weights, arena int64) {
	l := a.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	a.weights += weights
	a.arena.held += arena
}

// Close gives the model's memory back: its weights and its own arena. Its runs
// have ended.
func (a *Account) Close() {
	l := a.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.closed {
		return
	}
	a.closed = true
	l.open = slices.DeleteFunc(l.open, func(other *Account) bool { return other == a })
}

// Observe tells the ledger how much of the device's memory is in use, by
// whomever. What no account explains is foreign.
func (l *Ledger) Observe(used int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.foreign = max(0, used-l.own())
}

// Balance is a ledger at a moment, in bytes.
type Balance struct {
	Total   int64 // 0: no bound
	Reserve int64
	Foreign int64
	Weights int64
	Arenas  int64 // high-water marks
	InUse   int64 // of the arenas, promised to runs
	Left    int64 // negative when others took what we had; meaningless without a bound
}

// Balance is the ledger as it is now.
func (l *Ledger) Balance() Balance {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := Balance{Total: l.options.Total, Reserve: l.options.Reserve, Foreign: l.foreign, Left: l.left()}
	for _, a := range l.open {
		b.Weights += a.weights
	}
	for _, r := range l.arenas() {
		b.Arenas += r.held
		b.InUse += r.used
	}
	return b
}

func (l *Ledger) bounded() bool { return l.options.Total > 0 }

// left, own, arenas and balance want l.mu held.

func (l *Ledger) left() int64 {
	return l.options.Total - l.options.Reserve - l.foreign - l.own()
}

func (l *Ledger) own() int64 {
	sum := int64(0)
	for _, a := range l.open {
		sum += a.weights - a.lent
	}
	for _, r := range l.arenas() {
		sum += r.held
	}
	return sum
}

func (l *Ledger) arenas() []*arena {
	if l.common != nil {
		return []*arena{l.common}
	}
	all := make([]*arena, len(l.open))
	for i, a := range l.open {
		all[i] = a.arena
	}
	return all
}

// balance is what comes free when the account is closed.
func (a *Account) balance() int64 {
	b := a.weights - a.lent
	if a.arena != a.ledger.common {
		b += a.arena.held
	}
	return b
}
