package gpu

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
)

// ErrNoRoom is wrapped by the error for a model that does not fit into what a
// device has left.
var ErrNoRoom = errors.New("does not fit into the device's memory")

// ErrTooLarge is wrapped by the error for a model, or one item of it, that would
// not fit if the device were empty. It wraps ErrNoRoom.
var ErrTooLarge = fmt.Errorf("%w, nor would it into all of it", ErrNoRoom)

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
	keep    int64  // that a shared arena leaves for weights
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
	held    int64 // taken from the device: the most that was ever used
	used    int64 // promised to the runs that go on now
	growing int64 // of held, by the runs that go on now: it may not be taken yet
}

// Account is one model's memory on a device.
type Account struct {
	ledger  *Ledger
	model   string
	weights int64
	arena   *arena
	opening int64 // beside the weights, while the model is being opened
	loading bool  // the weights may not be taken yet
	lent    int64 // of weights and arena, to what comes in this one's place
}

// NewLedger makes a ledger.
func NewLedger(o LedgerOptions) *Ledger {
	l := &Ledger{options: o}
	if o.SharedArena {
		l.common = &arena{}
	}
	return l
}

// Keep makes a shared arena leave so many bytes for weights: it is never given
// back, and the largest model must still fit beside it, unless it fits in no
// case.
func (l *Ledger) Keep(weights int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.common != nil && weights <= l.options.Total-l.options.Reserve {
		l.keep = max(l.keep, weights)
	}
}

// Open admits a model: its weights, and what it takes beside them until Loaded;
// or gives an error that wraps ErrNoRoom, also where no room bytes would be left
// for a run of it. The victims' bytes count as left, since they are closed before
// the model is loaded.
func (l *Ledger) Open(model string, weights, opening, room int64, victims ...*Account) (*Account, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &Account{ledger: l, model: model, weights: weights, opening: opening, arena: l.common, loading: true}
	if a.arena == nil {
		a.arena = &arena{}
	}
	if err := l.admit(model, weights+opening+max(0, a.arena.used+room-a.arena.held), victims); err != nil {
		return nil, err
	}
	l.borrow(weights+opening, victims)
	l.open = append(l.open, a)
	return a, nil
}

// Admits tells whether Open would.
func (l *Ledger) Admits(weights, opening, room int64, victims ...*Account) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.common != nil {
		room = max(0, l.common.used+room-l.common.held)
	}
	return l.admit("", weights+opening+room, victims) == nil && (!l.bounded() || l.common == nil ||
		l.common.held+room <= l.options.Total-l.options.Reserve-max(l.keep, weights))
}

// Fits tells whether a model would fit into the device if it were empty: while
// it opens, and when it runs, in a shared arena beside what Keep asks for.
func (l *Ledger) Fits(weights, opening, room int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.options.Total - l.options.Reserve
	return !l.bounded() || weights+max(opening, room) <= all && (l.common == nil || room <= all-l.keep)
}

// Loaded tells that the account's weights are on the device now.
func (a *Account) Loaded() {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	a.loading, a.opening = false, 0
}

// Run promises bytes of activations to a run, which gives them back with the
// returned function, and says whether it has begun: if not, the arena has not
// grown. Calling it again does nothing.
func (a *Account) Run(bytes int64, victims ...*Account) (done func(begun bool), err error) {
	l := a.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	grow := max(0, a.arena.used+bytes-a.arena.held)
	if grow > 0 {
		if err := l.admit("a run of "+a.model, grow, victims); err != nil {
			return nil, err
		}
		l.borrow(grow, victims)
	}
	a.arena.used += bytes
	a.arena.held += grow
	a.arena.growing += grow
	given := false
	return func(begun bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if given {
			return
		}
		given = true
		a.arena.used -= bytes
		a.arena.growing -= grow
		if !begun {
			a.arena.held -= grow
		}
	}, nil
}

// Room is the most that Run would give now, in bytes.
func (a *Account) Room(victims ...*Account) int64 {
	l := a.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.bounded() {
		return math.MaxInt64
	}
	grow := l.left()
	for _, v := range victims {
		grow += v.balance()
	}
	if l.common != nil {
		grow = min(grow, l.options.Total-l.options.Reserve-l.keep-l.common.held)
	}
	return a.arena.held - a.arena.used + max(0, grow)
}

// Lacks is how much the account's arena would grow for a run that needs bytes
// while no other runs.
func (a *Account) Lacks(bytes int64) int64 {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	return max(0, bytes-a.arena.held)
}

// admit checks that bytes are left, or will be without the victims.
func (l *Ledger) admit(what string, bytes int64, victims []*Account) error {
	left := l.left()
	for _, v := range victims {
		left += v.balance()
	}
	if l.bounded() && bytes > left {
		return fmt.Errorf("gpu: %s needs %s, and %s of %s are left: %w", what, mb(bytes), mb(max(0, left)), mb(l.options.Total), ErrNoRoom)
	}
	return nil
}

// borrow takes what is not left from the victims.
func (l *Ledger) borrow(bytes int64, victims []*Account) {
	short := bytes - max(0, l.left())
	for _, v := range victims {
		if short <= 0 || !l.bounded() {
			return
		}
		take := min(short, v.balance())
		v.lent += take
		short -= take
	}
}

func mb(bytes int64) string { return fmt.Sprintf("%d MB", (bytes+1<<20-1)>>20) }

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
// have ended, and its sessions are closed.
func (a *Account) Close() {
	l := a.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, func(other *Account) bool { return other == a })
}

// Bytes are the account's weights and its own arena; a shared one is nobody's.
func (a *Account) Bytes() (weights, arena int64) {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	if a.arena != a.ledger.common {
		arena = a.arena.held
	}
	return a.weights, arena
}

// Settled is what our models have surely taken of the device, in bytes.
func (l *Ledger) Settled() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settled()
}

// Observe tells the ledger how much of the device's memory is in use, by
// whomever, and how much of that is this process's, where the driver says it
// (0: it does not). Without that, what no account explains is foreign. Settled
// was asked before the device was: what has come since may or may not be in use
// yet, and counts as if it was not. Runs that took less than they were promised
// hide as much of foreign use; the reserve is for that.
func (l *Ledger) Observe(used, own, settled int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if own == 0 {
		own = min(settled, l.settled())
	}
	l.foreign = max(0, used-own)
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
		b.Weights += a.weights + a.opening
	}
	for _, r := range l.arenas() {
		b.Arenas += r.held
		b.InUse += r.used
	}
	return b
}

func (l *Ledger) bounded() bool { return l.options.Total > 0 }

// What is below wants l.mu held.

func (l *Ledger) left() int64 {
	return l.options.Total - l.options.Reserve - l.foreign - l.own()
}

func (l *Ledger) own() int64 {
	sum := int64(0)
	for _, a := range l.open {
		sum += a.weights + a.opening - a.lent
	}
	for _, r := range l.arenas() {
		sum += r.held
	}
	return sum
}

func (l *Ledger) settled() int64 {
	sum := int64(0)
	for _, a := range l.open {
		if !a.loading {
			sum += a.weights
		}
	}
	for _, r := range l.arenas() {
		sum += r.held - r.growing
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
	b := a.weights + a.opening - a.lent
	if a.arena != a.ledger.common {
		b += a.arena.held
	}
	return b
}
