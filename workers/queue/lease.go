package queue

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/earshot-fm/earshot/workers"
)

// lease is one event that this process holds.
type lease struct {
	seq      int64
	token    string // tells this lease from a later one of the same event
	delivery workers.Delivery
}

// lease takes the next event that is ready in the lanes up to last; nil when
// none is.
func (q *Queue) lease(ctx context.Context, last int) (*lease, error) {
	q.mu.Lock()
	q.leases++
	order := "lane, seq"
	if q.leases%q.options.BacklogTurn == 0 {
		order = "lane >= 0, lane DESC, seq" // removals still go first
	}
	q.mu.Unlock()

	for {
		l, unreadable, err := q.take(ctx, last, order)
		if err != nil {
			return nil, fmt.Errorf("queue: take an event from %s: %w", q.path, err)
		}
		if !unreadable {
			return l, nil
		}
	}
}

// take leases one event. One that cannot be read becomes a dead letter at
// once, so that it does not stop those behind it.
func (q *Queue) take(ctx context.Context, last int, order string) (l *lease, unreadable bool, err error) {
	now := q.options.Now()
	err = q.transaction(ctx, func(tx *sql.Tx) error {
		var (
			taken     = lease{token: rand.Text()}
			d         = &taken.delivery
			body      string
			firstSeen int64
		)
		err := tx.QueryRowContext(ctx, `UPDATE event SET lease = ?, visible_at = ?, deliveries = deliveries + 1
			WHERE seq = (SELECT seq FROM event WHERE visible_at <= ? AND lane <= ? ORDER BY `+order+` LIMIT 1)
			RETURNING seq, body, deliveries, failures, first_seen`,
			taken.token, now.Add(q.options.Visibility).UnixMilli(), now.UnixMilli(), last).Scan(&taken.seq, &body, &d.Attempt, &d.Failures, &firstSeen)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		d.FirstSeen, d.Received = time.UnixMilli(firstSeen).UTC(), now.UTC()
		var m message
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			unreadable = true
			return q.bury(ctx, tx, taken.seq, body, err)
		}
		d.Event, d.Removal = m.Event, m.Removal
		l = &taken
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return l, unreadable, nil
}

// bury files an event's text as a dead letter and removes the event.
func (q *Queue) bury(ctx context.Context, tx *sql.Tx, seq int64, body string, cause error) error {
	raw := []byte(body)
	err := file(ctx, tx, workers.DeadLetter{
		ID:     workers.LetterID(workers.Delivery{Raw: raw}),
		Raw:    raw,
		Reason: workers.Malformed,
		Detail: cause.Error(),
		Filed:  q.options.Now().UTC(),
	})
	if err == nil {
		_, err = tx.ExecContext(ctx, `DELETE FROM event WHERE seq = ?`, seq)
	}
	return err
}

// extend keeps the event hidden for another visibility; false when the lease
// is no longer ours.
func (q *Queue) extend(ctx context.Context, l *lease) (bool, error) {
	until := q.options.Now().Add(q.options.Visibility).UnixMilli()
	return q.update(ctx, "extend the lease of", l, `UPDATE event SET visible_at = ? WHERE seq = ? AND lease = ?`, until, l.seq, l.token)
}

// settle acts on the verdict; false when the lease is no longer ours, and the
// verdict has no effect.
func (q *Queue) settle(ctx context.Context, l *lease, v workers.Verdict) (bool, error) {
	now := q.options.Now()
	switch v.Kind {
	case workers.Done, workers.Reject:
		return q.update(ctx, "acknowledge", l, `DELETE FROM event WHERE seq = ? AND lease = ?`, l.seq, l.token)
	case workers.Retry:
		return q.update(ctx, "put back", l, `UPDATE event SET lease = '', failures = failures + 1, visible_at = ? WHERE seq = ? AND lease = ?`,
			now.Add(v.After).UnixMilli(), l.seq, l.token)
	case workers.Release:
		return q.update(ctx, "release", l, `UPDATE event SET lease = '', deliveries = deliveries - 1, visible_at = ? WHERE seq = ? AND lease = ?`,
			now.Add(v.After).UnixMilli(), l.seq, l.token)
	default:
		return false, fmt.Errorf("queue: unknown verdict %q", v.Kind)
	}
}

func (q *Queue) update(ctx context.Context, doing string, l *lease, statement string, arguments ...any) (bool, error) {
	result, err := q.db.ExecContext(ctx, statement, arguments...)
	if err != nil {
		return false, fmt.Errorf("queue: %s event %d of %s: %w", doing, l.seq, q.path, err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("queue: %s event %d of %s: %w", doing, l.seq, q.path, err)
	}
	return n == 1, nil
}

// outlook is when the next event in the lanes up to last becomes visible (zero:
// no event that a timer could wait for) and whether the queue is empty.
func (q *Queue) outlook(ctx context.Context, last int) (next time.Time, empty bool, err error) {
	var (
		at    sql.NullInt64
		count int
	)
	if err := q.db.QueryRowContext(ctx, `SELECT min(visible_at) FILTER (WHERE lane <= ?), count(*) FROM event`, last).Scan(&at, &count); err != nil {
		return time.Time{}, false, fmt.Errorf("queue: look ahead in %s: %w", q.path, err)
	}
	if at.Valid {
		next = time.UnixMilli(at.Int64)
	}
	return next, count == 0, nil
}
