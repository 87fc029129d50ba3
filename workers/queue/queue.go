// Package queue is the embedded durable queue: one SQLite file that several
// processes may share. An event that Publish returned for survives kill -9 and
// power loss; it is delivered to one worker at a time, hidden from the others
// by a lease that the worker keeps extending, and comes back when that worker
// disappears. Live events go before backlog, which still gets a share. What
// was rejected is kept as dead letters that can be listed and driven again.
package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the database driver

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

// Options are the queue's settings; the zero value of each is its default.
type Options struct {
	// Visibility is how long a lease lasts unless extended, which happens three
	// times in that span; a killed worker's event comes back after it.
	// Zero: 60 s.
	Visibility time.Duration

	// Poll is how often an idle receiver looks for what other processes
	// published. Events of this process wake it at once. Zero: 500 ms.
	Poll time.Duration

	// BacklogTurn is the share of backlog under live load: one delivery in
	// this many prefers backlog. Zero: 8.
	BacklogTurn int

	// UntilEmpty makes Receive return nil once no event is left, neither
	// waiting nor in work anywhere.
	UntilEmpty bool

	Now func() time.Time // nil: time.Now
}

// Queue is an open queue. Its methods may be called from many goroutines.
type Queue struct {
	db      *sql.DB
	path    string
	options Options

	mu     sync.Mutex
	wake   chan struct{} // closed and replaced when something may have become ready
	leases int           // leases taken, to count backlog's turns
}

var (
	_ workers.Source  = (*Queue)(nil)
	_ workers.Letters = (*Queue)(nil)
)

// schema: times are milliseconds since 1970. A row's dedupe is null when its
// event asks for something special and must not be merged with another.
const schema = `
CREATE TABLE IF NOT EXISTS event (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  dedupe     TEXT UNIQUE,
  lane       INTEGER NOT NULL,
  body       TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  visible_at INTEGER NOT NULL,
  lease      TEXT NOT NULL DEFAULT '',
  deliveries INTEGER NOT NULL DEFAULT 0,
  failures   INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS event_next ON event(lane, visible_at, seq);
CREATE TABLE IF NOT EXISTS letter (
  id    TEXT PRIMARY KEY,
  filed INTEGER NOT NULL,
  body  TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS letter_filed ON letter(filed, id);
CREATE TABLE IF NOT EXISTS cursor (
  name TEXT PRIMARY KEY,
  body BLOB NOT NULL
);`

// Open opens the queue in the file at path, creating it when it is missing.
// The folder must exist and be on a local disk.
func Open(ctx context.Context, path string, o Options) (*Queue, error) {
	if o.Visibility <= 0 {
		o.Visibility = time.Minute
	}
	if o.Poll <= 0 {
		o.Poll = 500 * time.Millisecond
	}
	if o.BacklogTurn <= 0 {
		o.BacklogTurn = 8
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("queue: open %s: %w", path, err)
	}
	// FULL, not NORMAL: whoever published has been told that the event is kept,
	// and a write-ahead log that is not synced loses its tail with the power.
	// Immediate transactions take the write lock at once, so that no two
	// processes both read a row as free and then fail to upgrade.
	dsn := (&url.URL{Scheme: "file", Path: absolute, RawQuery: url.Values{
		"_pragma": {"busy_timeout(15000)", "journal_mode(WAL)", "synchronous(FULL)"},
		"_txlock": {"immediate"},
	}.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("queue: open %s: %w", path, err)
	}
	// SQLite has one writer at a time, and nearly all of this is writing.
	db.SetMaxOpenConns(1)
	if err := prepare(ctx, db, absolute); err != nil {
		return nil, errors.Join(fmt.Errorf("queue: open %s (is its folder there and writable?): %w", path, err), db.Close())
	}
	return &Queue{db: db, path: path, options: o, wake: make(chan struct{})}, nil
}

// prepare makes the tables. Of processes that open a new file at one instant,
// one turns it to write-ahead logging and the others fail, whatever their busy
// timeout (SQLite keeps no process waiting that holds a lock already), or with
// a killed one's log half written: so one at a time.
func prepare(ctx context.Context, db *sql.DB, path string) (err error) {
	turn, err := os.OpenFile(path+"-open", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, turn.Close()) }() // the lock goes with it
	if err := syscall.Flock(int(turn.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	// Events of private feeds have addresses that are secrets. SQLite gives the
	// files beside this one the same mode.
	own, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = own.Close()
	}
	if err == nil {
		_, err = db.ExecContext(ctx, schema)
	}
	return err
}

// Close closes the file. No Receive may be running.
func (q *Queue) Close() error {
	if err := q.db.Close(); err != nil {
		return fmt.Errorf("queue: close %s: %w", q.path, err)
	}
	return nil
}

// Publish keeps the event durably and returns. Its priority decides the lane;
// its FirstSeen, when set, counts for latency, else now does. An event for the
// same episode and revision that is still waiting or in work and asks for
// nothing special is the same event: Publish then keeps the older one, moves
// it to the live lane when the new one is live, and reports false.
func (q *Queue) Publish(ctx context.Context, e episode.Event) (added bool, err error) {
	if err := e.Check(); err != nil {
		return false, fmt.Errorf("queue: publish: %w", err)
	}
	return q.publish(ctx, message{Event: e})
}

// Remove keeps the removal durably and returns. It goes before all events.
func (q *Queue) Remove(ctx context.Context, r episode.Removal) error {
	if err := r.Check(); err != nil {
		return fmt.Errorf("queue: publish a removal: %w", err)
	}
	_, err := q.publish(ctx, message{episode.Event{ID: r.ID, Revision: r.Revision}, &r})
	return err
}

// message is what a row of the table holds.
type message struct {
	episode.Event
	Removal *episode.Removal `json:"removal,omitempty"`
}

// Lanes, in the order in which they are served.
const (
	removals = iota - 1
	live
	backlog
)

func lane(m message) int {
	switch {
	case m.Removal != nil:
		return removals
	case m.Priority == episode.Backlog:
		return backlog
	default:
		return live
	}
}

func (q *Queue) publish(ctx context.Context, m message) (added bool, err error) {
	err = q.transaction(ctx, func(tx *sql.Tx) error {
		added, err = q.insert(ctx, tx, m)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("queue: publish %s to %s: %w", m.ID, q.path, err)
	}
	q.signal()
	return added, nil
}

func (q *Queue) insert(ctx context.Context, tx *sql.Tx, m message) (added bool, err error) {
	now := q.options.Now()
	if m.FirstSeen.IsZero() {
		m.FirstSeen = now.UTC()
	}
	body, err := json.Marshal(m)
	if err != nil {
		return false, err
	}
	var dedupe any
	if c := m.Control; m.Removal != nil {
		dedupe = fmt.Sprintf("%s/%d/removal", m.ID, m.Revision)
	} else if c.Targets == nil && c.Force == nil && !c.Ping {
		dedupe = fmt.Sprintf("%s/%d", m.ID, m.Revision)
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO event(dedupe, lane, body, first_seen, visible_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT(dedupe) DO NOTHING`, dedupe, lane(m), string(body), m.FirstSeen.UnixMilli(), now.UnixMilli())
	if err != nil {
		return false, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return n == 1, err
	}
	if lane(m) != backlog {
		_, err = tx.ExecContext(ctx, `UPDATE event SET lane = min(lane, ?) WHERE dedupe = ?`, live, dedupe)
	}
	return false, err
}

// Depth is how many events there are.
type Depth struct {
	Ready       int           `json:"ready"`        // could be delivered now
	Delayed     int           `json:"delayed"`      // wait for their retry
	Leased      int           `json:"leased"`       // in work
	DeadLetters int           `json:"dead_letters"` // rejected
	Oldest      time.Duration `json:"oldest"`       // age of the oldest event that is not done, since first seen
}

// Depth counts the queue's events in one lane; removals are in the live one.
func (q *Queue) Depth(ctx context.Context, priority episode.Priority) (Depth, error) {
	var (
		d      Depth
		oldest sql.NullInt64
		now    = q.options.Now()
	)
	err := q.db.QueryRowContext(ctx, `SELECT
		  count(*) FILTER (WHERE visible_at <= ?1),
		  count(*) FILTER (WHERE visible_at > ?1 AND lease = ''),
		  count(*) FILTER (WHERE visible_at > ?1 AND lease <> ''),
		  min(first_seen),
		  (SELECT count(*) FROM letter)
		FROM event WHERE (lane = ?2) = ?3`, now.UnixMilli(), backlog, priority == episode.Backlog).Scan(&d.Ready, &d.Delayed, &d.Leased, &oldest, &d.DeadLetters)
	if err != nil {
		return Depth{}, fmt.Errorf("queue: count %s: %w", q.path, err)
	}
	if oldest.Valid {
		d.Oldest = max(0, now.Sub(time.UnixMilli(oldest.Int64)))
	}
	return d, nil
}

func (q *Queue) transaction(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// signal wakes every receiver of this process.
func (q *Queue) signal() {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.wake)
	q.wake = make(chan struct{})
}

func (q *Queue) woken() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wake
}
