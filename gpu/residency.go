package gpu

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/earshot-fm/earshot/models"
)

// Which models are open on a device. While all fit, all stay. When they do not,
// the scheduler works in phases: the models that are open run until their
// queues are empty, the next model's files are read meanwhile, then they change
// places. These rules keep changes rare and nobody waiting for ever:
//
//   - While the models that are open have work for the device, none comes in
//     their place; but for live work when they have only backlog, and for a
//     model that has waited for twice a turn.
//   - A model without work stays as long as opening it again would take, since
//     its work may come back: at worst that doubles what the change costs.
//   - A model with work keeps its place for a turn, which is turns times what
//     the change takes, so that changes cost one part in so many. Live work
//     ends the turn of backlog work far sooner.
//   - Who goes is who costs least to bring back, by the time that opening takes
//     and the work that waits for it.
const (
	turns     = 16
	liveTurns = 2
	// noRoomPatience is how long an item waits for memory that others have.
	noRoomPatience = time.Minute
	// noRoomRetry is how often it is tried meanwhile.
	noRoomRetry = time.Second
	// unknownReload stands for how long a model takes to open before it was
	// opened or measured.
	unknownReload = 250 * time.Millisecond
)

// resident is a model that is open on a device, or being opened. Guarded by
// Scheduler.mu.
type resident struct {
	model    *models.Model
	account  *Account
	sessions models.Sessions // nil: being opened
	runs     int             // leases that use it
	leaving  bool            // runs nothing more, since another comes in its place
	since    time.Time       // opened
	idle     time.Time       // since when, while runs is 0
	grown    float64         // the greatest cost that has run
	seen     int64           // of its arena, by how the device's use grew in runs
}

// ordered are the residents by model.
func (d *device) ordered() []*resident {
	return slices.SortedFunc(maps.Values(d.residents), func(a, b *resident) int {
		return cmp.Compare(a.model.Manifest.Ref(), b.model.Manifest.Ref())
	})
}

// profile is what a model needs of a device: measured, or guessed.
func (s *Scheduler) profile(d *device, m *models.Model) *Profile {
	if p := d.profiles[m.SHA256]; p != nil {
		return p
	}
	p, ok := Profile{}, false
	if s.options.Profiles != nil {
		p, ok = s.options.Profiles.Get(KeyOf(m, d.Device, s.options.Runtime))
	}
	if !ok || !p.Measured() {
		// A file that is gone is told by the opening that fails for it.
		p, _ = Guess(m)
	}
	d.profiles[m.SHA256] = &p
	return &p
}

// reload is how long opening a model on the device takes.
func (s *Scheduler) reload(d *device, m *models.Model) time.Duration {
	return cmp.Or(d.reloads[m.SHA256], s.profile(d, m).loads(), unknownReload)
}

// spot is where a batch can run.
type spot struct {
	device   *device
	resident *resident // nil: the model is not open there yet
}

// chance is whether a batch can run.
type chance int

const (
	never   chance = iota // on no device
	cramped               // when something else than our open models gives memory back
	taken                 // when the device has a lease for it, or has changed models
	crowds                // when another model makes room
	drained               // when what runs on the device has ended
	later                 // when its model is open, or a lease is free where it is
	atOnce
)

// spot finds a place for the lane's next batch among models as they are open,
// or where there is room for one more: for its whole batches, besides those of
// the models at work, since a model that squeezes in makes everybody's small.
func (s *Scheduler) spot(l *lane) (best spot, c chance) {
	q, head := l.line, l.head(s.turn)
	c = never
	for _, d := range s.devices {
		if d.out {
			continue
		}
		p := s.profile(d, q.model)
		need := q.need(p, 1, head.cost)
		whole := max(need, q.need(p, l.whole(), l.wholeCost()))
		r := d.residents[q.model.SHA256]
		var here chance
		switch {
		case r == nil && d.free > 0 && !d.held && d.ledger.Admits(p.WeightsBytes, p.opening(), whole+s.claims(d)):
			here = atOnce
		case r == nil && d.free > 0:
			here = crowds
		case r == nil, r.leaving, d.held:
			here = taken
		case r.sessions == nil, d.free == 0:
			here = later
		case r.account.Room() >= need:
			return spot{device: d, resident: r}, atOnce
		case d.busy():
			here = drained
		default:
			here = crowds
		}
		if here == crowds && !fits(d, r, p, need, d.others(r)) {
			here = cramped
		}
		if here > c {
			best, c = spot{device: d, resident: r}, here
		}
	}
	return best, c
}

// fits tells whether there is room for a run of need bytes without some models,
// beside the model itself where it is not open.
func fits(d *device, r *resident, p *Profile, need int64, without []*resident) bool {
	if r != nil {
		return r.account.Room(accounts(without)...) >= need
	}
	return d.ledger.Admits(p.WeightsBytes, p.opening(), need, accounts(without)...)
}

// others are the models that are open beside one.
func (d *device) others(than *resident) (open []*resident) {
	for _, r := range d.residents {
		if r != than && r.sessions != nil {
			open = append(open, r)
		}
	}
	return open
}

// claims are the bytes that models at work still lack for whole batches. One
// that comes besides leaves them these.
func (s *Scheduler) claims(d *device) int64 {
	sum, most := int64(0), int64(0)
	for _, q := range s.lines {
		r := d.residents[q.model.SHA256]
		if r == nil {
			continue
		}
		for _, l := range q.lanes {
			claim := r.account.Lacks(q.need(s.profile(d, q.model), l.whole(), l.wholeCost()))
			sum += claim
			most = max(most, claim)
			break // the lanes of a model run one after the other
		}
	}
	if d.ledger.common != nil {
		return most
	}
	return sum
}

// spare chooses models without work that go so that a batch can be whole.
func (s *Scheduler) spare(d *device, r *resident, l *lane, victims []*resident, now time.Time) []*resident {
	need := l.line.need(s.profile(d, l.line.model), l.whole(), l.wholeCost())
	others := d.ordered()
	slices.SortStableFunc(others, func(a, b *resident) int { return cmp.Compare(s.reload(d, a.model), s.reload(d, b.model)) })
	for _, o := range others {
		if r.account.Room(accounts(victims)...) >= need {
			break
		}
		if o != r && o.sessions != nil && o.runs == 0 && !slices.Contains(victims, o) &&
			!s.workFor(o.model).any && !now.Before(o.idle.Add(s.reload(d, o.model))) {
			victims = append(victims, o)
		}
	}
	return victims
}

// opening tells whether a model is being opened.
func (d *device) opening() bool {
	for _, r := range d.residents {
		if r.sessions == nil {
			return true
		}
	}
	return false
}

func (d *device) busy() bool {
	for _, r := range d.residents {
		if r.runs > 0 {
			return true
		}
	}
	return false
}

// demand is what waits for a model.
type demand struct {
	live, any bool
	lasts     time.Duration // about
}

func (s *Scheduler) workFor(m *models.Model) (w demand) {
	for _, q := range s.lines {
		if q.model.SHA256 != m.SHA256 {
			continue
		}
		for _, l := range q.lanes {
			w.any = true
			w.live = w.live || l.live.n > 0
			w.lasts += time.Duration(l.burden() * q.pace)
		}
	}
	return w
}

// makeRoom chooses the models that go so that the lane's batch can run at a
// spot. Where they are still at work, they are kept from going on, and ok is
// false; where their time has not come yet, again says when it has. An error
// wraps ErrNoRoom: it will never do.
func (s *Scheduler) makeRoom(l *lane, at spot, now time.Time) (victims []*resident, ok bool, again time.Time, err error) {
	d, q, head := at.device, l.line, l.head(s.turn)
	p := s.profile(d, q.model)
	need := q.need(p, 1, head.cost)
	whole := max(need, q.need(p, l.whole(), l.wholeCost()))
	enough := func(v []*resident) bool { return fits(d, at.resident, p, need, v) }
	all := d.others(at.resident)
	var may []*resident
	cost := map[*resident]float64{}
	for _, r := range all {
		w := s.workFor(r.model)
		cost[r] = float64(s.reload(d, r.model)) * w.lasts.Seconds()
		if when := s.goes(d, r, w, q, head); now.Before(when) {
			again = earlier(again, when)
			continue
		}
		may = append(may, r)
	}
	// A model comes for whole batches, if it can: those that bound it to small ones go with the rest.
	least := need
	if need = whole; !enough(all) {
		need = least
	}
	if !enough(all) {
		// Not the time in the queue counts, but that without room.
		if l.cramped.IsZero() || d.opening() {
			l.cramped = now
		}
		patient := now.Before(l.cramped.Add(noRoomPatience)) || now.Before(head.came.Add(noRoomPatience))
		switch {
		case p.Measured() && !d.ledger.Fits(p.WeightsBytes, p.opening(), need):
			err = fmt.Errorf("needs %s on %s, and %s while it opens: %w: give models more (device.memory_bytes, or the cgroup's limit)", mb(p.WeightsBytes+need), d.Name, mb(p.WeightsBytes+p.opening()), ErrTooLarge)
		case patient:
		case d.busy() && d.ledger.common != nil:
			d.held = true // what runs uses the arena that all share
		default:
			how := "measured"
			if !p.Measured() {
				how = "guessed: `earshot models bench` measures it"
			}
			err = fmt.Errorf("needs %s (%s) on %s, and has found no room for %v: %w", mb(p.WeightsBytes+max(p.opening(), need)), how, d.Name, noRoomPatience, ErrNoRoom)
		}
		return nil, false, now.Add(noRoomRetry), err
	}
	l.cramped = time.Time{}
	slices.SortFunc(may, func(a, b *resident) int {
		if s.options.EvictLeastRecentlyUsed {
			return a.idle.Compare(b.idle)
		}
		return cmp.Or(cmp.Compare(cost[a], cost[b]), cmp.Compare(s.reload(d, a.model), s.reload(d, b.model)), a.idle.Compare(b.idle))
	})
	for _, r := range may {
		if enough(victims) {
			break
		}
		victims = append(victims, r)
	}
	if !enough(victims) {
		return nil, false, again, nil
	}
	for i := len(victims) - 1; i >= 0; i-- { // those that did not help
		if without := slices.Delete(slices.Clone(victims), i, i+1); enough(without) {
			victims = without
		}
	}
	ok = true
	for _, r := range victims {
		if r.runs > 0 {
			r.leaving, ok = true, false
		}
	}
	return victims, ok, time.Time{}, nil
}

// goes tells when a model may be closed for another's sake.
func (s *Scheduler) goes(d *device, r *resident, w demand, q *line, head *item) time.Time {
	change := s.reload(d, r.model) + s.reload(d, q.model)
	switch {
	case s.options.EvictLeastRecentlyUsed:
		if r.runs > 0 {
			return time.Now().Add(time.Hour) // finish asks again
		}
		return time.Time{}
	case !w.any && r.runs == 0:
		return r.idle.Add(s.reload(d, r.model))
	case !w.live && !head.backlog:
		return r.since.Add(liveTurns * change)
	default:
		return r.since.Add(turns * change)
	}
}

func accounts(residents []*resident) []*Account {
	out := make([]*Account, len(residents))
	for i, r := range residents {
		out[i] = r.account
	}
	return out
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
