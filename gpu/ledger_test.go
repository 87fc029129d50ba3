package gpu

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// promise is what one account of the walk has taken.
type promise struct {
	account *Account
	weights int64 // that are really on the device
	arena   int64 // likewise; the shared arena's is the walk's
	runs    []run
}

type run struct {
	done  func(begun bool)
	bytes int64
	taken bool // the device has really given them
}

// walk plays a device and its ledger against each other: what the ledger
// promises is taken at once or later, and others come and go. Half of the
// devices tell what is ours; with these, promises need not be taken at all, and
// runs of one arena go on side by side.
type walk struct {
	rand   *rand.Rand
	ledger *Ledger
	shared bool
	tells  bool
	arena  int64 // the shared arena on the device
	open   []*promise
	others int64
	total  int64
}

// own is what our models really hold of the device.
func (w *walk) own() int64 {
	sum := w.arena
	for _, p := range w.open {
		sum += p.weights + p.arena
	}
	return sum
}

// take makes a run's memory real.
func (w *walk) take(p *promise, r *run) {
	r.taken = true
	used := int64(0)
	for _, other := range w.open {
		if other == p || w.shared {
			for _, r := range other.runs {
				if r.taken {
					used += r.bytes
				}
			}
		}
	}
	if w.shared {
		w.arena = max(w.arena, used)
	} else {
		p.arena = max(p.arena, used)
	}
}

// running tells whether the account's arena is in use.
func (w *walk) running(p *promise) bool {
	for _, other := range w.open {
		if (other == p || w.shared) && len(other.runs) > 0 {
			return true
		}
	}
	return false
}

func (w *walk) observe(late bool) {
	settled := w.ledger.Settled()
	used, own := w.own()+w.others, int64(0)
	if w.tells {
		used++ // 0 would be: not told
		own = w.own() + 1
	}
	if late { // the device answers late: others of ours came meanwhile
		w.step(false)
	}
	w.ledger.Observe(used, own, settled)
}

// step does one random thing. Others' memory only changes where the ledger is
// told at once: what it cannot know, it cannot promise by.
func (w *walk) step(mayObserve bool) {
	var p *promise
	if len(w.open) > 0 {
		p = w.open[w.rand.IntN(len(w.open))]
	}
	switch n := w.rand.IntN(12); {
	case n < 2 || p == nil:
		weights, opening, room := w.rand.Int64N(60), w.rand.Int64N(20), w.rand.Int64N(20)
		admits := w.ledger.Admits(weights, opening, 0)
		a, err := w.ledger.Open("m", weights, opening, room)
		if admits && room == 0 && err != nil || err != nil && !errors.Is(err, ErrNoRoom) {
			panic("Admits and Open differ")
		}
		if err == nil {
			w.open = append(w.open, &promise{account: a})
		}
	case n == 2 && p.weights == 0: // its weights arrive
		p.weights, _ = p.account.Bytes()
		p.account.Loaded()
	case n == 3: // another takes its place
		if len(p.runs) > 0 {
			return
		}
		a, err := w.ledger.Open("n", w.rand.Int64N(80), 0, 0, p.account)
		if err != nil {
			return
		}
		next := &promise{account: a}
		w.open = append(w.open, next)
		if !w.tells && w.running(next) {
			w.close(p)
			return
		}
		if bytes := w.rand.Int64N(40); bytes <= a.Room(p.account) {
			if done, err := a.Run(bytes, p.account); err == nil {
				next.runs = append(next.runs, run{done: done, bytes: bytes})
			} else {
				panic(err)
			}
		}
		w.close(p)
	case n == 4:
		if len(p.runs) == 0 {
			w.close(p)
		}
	case n < 8:
		if !w.tells && w.running(p) {
			return
		}
		bytes := w.rand.Int64N(40)
		room := p.account.Room()
		done, err := p.account.Run(bytes)
		if bytes <= room && err != nil {
			panic("Room and Run differ: " + err.Error())
		}
		if err == nil {
			p.runs = append(p.runs, run{done: done, bytes: bytes})
		}
	case n == 8:
		for i := range p.runs {
			if !p.runs[i].taken {
				w.take(p, &p.runs[i])
				return
			}
		}
	case n < 11:
		if len(p.runs) > 0 {
			i := w.rand.IntN(len(p.runs))
			if !w.tells && !p.runs[i].taken {
				w.take(p, &p.runs[i])
			}
			p.runs[i].done(p.runs[i].taken)
			p.runs[i].done(p.runs[i].taken) // does nothing
			p.runs = append(p.runs[:i], p.runs[i+1:]...)
		}
	case mayObserve:
		others := w.rand.IntN(2) == 0
		if others {
			free := w.total - w.own() - w.others
			if left := w.ledger.Balance().Left; left < free {
				free = left // others take what nobody was promised
			}
			w.others = max(0, w.others+w.rand.Int64N(max(0, free)+1)-w.rand.Int64N(30))
		}
		w.observe(!others && w.rand.IntN(2) == 0)
	}
}

func (w *walk) close(p *promise) {
	for i, other := range w.open {
		if other == p {
			w.open = append(w.open[:i], w.open[i+1:]...)
		}
	}
	p.account.Close()
}

// TestTheLedgerNeverGivesWhatIsNotThere walks a million random steps: what our
// models and others hold of the device never exceeds it, and whatever was given
// comes back.
func TestTheLedgerNeverGivesWhatIsNotThere(t *testing.T) {
	const walks, steps = 1000, 1000
	for seed := range uint64(walks) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := &walk{rand: r, shared: seed%2 == 0, tells: seed%4 < 2, total: 100 + r.Int64N(200)}
		w.ledger = NewLedger(LedgerOptions{Total: w.total, SharedArena: w.shared})
		if w.shared {
			w.ledger.Keep(r.Int64N(50))
		}
		for i := range steps {
			w.step(true)
			if sum := w.own() + w.others; sum > w.total {
				t.Fatalf("seed %d, step %d: %d of %d are taken: %+v", seed, i, sum, w.total, w.ledger.Balance())
			}
		}
		for len(w.open) > 0 {
			p := w.open[0]
			for _, r := range p.runs {
				r.done(r.taken)
			}
			w.close(p)
		}
		if b := w.ledger.Balance(); b.Weights != 0 || b.InUse != 0 || !w.shared && b.Arenas != 0 {
			t.Fatalf("seed %d: not all was given back: %+v", seed, b)
		}
	}
}

func TestAnArenaIsFreeForItsOwnerAlone(t *testing.T) {
	own := NewLedger(LedgerOptions{Total: 100})
	a, _ := own.Open("a", 10, 0, 0)
	b, _ := own.Open("b", 10, 0, 0)
	done, err := a.Run(60)
	if err != nil {
		t.Fatal(err)
	}
	done(true)
	if a.Room() != 80 || b.Room() != 20 {
		t.Errorf("room for a %d, for b %d; want 80 and 20", a.Room(), b.Room())
	}
	a.Close()
	if b.Room() != 90 {
		t.Errorf("room for b without a: %d, want 90", b.Room())
	}
	shared := NewLedger(LedgerOptions{Total: 100, SharedArena: true})
	shared.Keep(30)
	a, _ = shared.Open("a", 10, 0, 0)
	b, _ = shared.Open("b", 10, 0, 0)
	if done, err = a.Run(60); err != nil {
		t.Fatal(err)
	}
	done(true)
	a.Close()
	if b.Room() != 70 {
		t.Errorf("room in a shared arena that leaves 30 for weights: %d, want 70", b.Room())
	}
	if !shared.Fits(60, 30, 40) || shared.Fits(60, 41, 0) || shared.Fits(60, 0, 41) {
		t.Error("100 are 60 and 40, whatever the arena holds now")
	}
}

func TestForeignMemoryIsNobodysToGive(t *testing.T) {
	l := NewLedger(LedgerOptions{Total: 100, Reserve: 5})
	a, _ := l.Open("a", 20, 0, 0)
	a.Loaded()
	l.Observe(50, 0, l.Settled()) // ours 20
	if b := l.Balance(); b.Foreign != 30 || b.Left != 45 {
		t.Errorf("%+v", b)
	}
	if _, err := l.Open("b", 46, 0, 0); !errors.Is(err, ErrNoRoom) {
		t.Errorf("got %v", err)
	}
	settled := l.Settled()
	done, err := a.Run(45) // while the device answers, for before
	if err != nil {
		t.Fatal(err)
	}
	done(true)
	l.Observe(50, 0, settled)
	if b := l.Balance(); b.Left != 0 {
		t.Errorf("%+v", b)
	}
	l.Observe(95, 0, l.Settled())
	if b := l.Balance(); b.Foreign != 30 || b.Left != 0 {
		t.Errorf("%+v", b)
	}
}
