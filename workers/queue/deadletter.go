package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/earshot-fm/earshot/workers"
)

// File implements workers.DeadLetters.
func (q *Queue) File(ctx context.Context, letter workers.DeadLetter) error {
	if err := file(ctx, q.db, letter); err != nil {
		return fmt.Errorf("queue: file the dead letter %s in %s: %w", letter.ID, q.path, err)
	}
	return nil
}

// executor is what *sql.DB and *sql.Tx share.
type executor interface {
	ExecContext(ctx context.Context, statement string, arguments ...any) (sql.Result, error)
}

func file(ctx context.Context, db executor, letter workers.DeadLetter) error {
	body, err := json.Marshal(letter)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `INSERT INTO letter(id, filed, body) VALUES (?, ?, ?)
		ON CONFLICT(id) DO UPDATE SET filed = excluded.filed, body = excluded.body`,
		letter.ID, letter.Filed.UnixMilli(), string(body))
	return err
}

// Sift implements workers.Letters. A replay and the taking away of its letter
// happen both or neither.
func (q *Queue) Sift(ctx context.Context, decide func(workers.DeadLetter) (workers.Fate, error)) error {
	replayed := false
	defer func() {
		if replayed {
			q.signal()
		}
	}()
	// What is rejected again while this goes on is filed later, and not seen.
	until := q.options.Now().UnixMilli()
	for at := (place{}); ; {
		letter, next, err := q.letterAfter(ctx, at, until)
		if err != nil || letter == nil {
			return err
		}
		at = next
		fate, err := decide(*letter)
		if err != nil {
			return err
		}
		if err := q.settleLetter(ctx, at, *letter, fate); err != nil {
			return fmt.Errorf("queue: %s the dead letter %s of %s: %w", fate, letter.ID, q.path, err)
		}
		replayed = replayed || fate == workers.Replay
	}
}

// place is where a letter stands in the order of filing.
type place struct {
	filed int64
	id    string
}

// letterAfter is the letter that follows a place, nil when none does. One is
// read at a time, since decide may take its time.
func (q *Queue) letterAfter(ctx context.Context, at place, until int64) (*workers.DeadLetter, place, error) {
	var (
		body   string
		letter workers.DeadLetter
	)
	err := q.db.QueryRowContext(ctx, `SELECT filed, id, body FROM letter WHERE (filed, id) > (?, ?) AND filed <= ? ORDER BY filed, id LIMIT 1`,
		at.filed, at.id, until).Scan(&at.filed, &at.id, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, at, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(body), &letter)
	}
	if err != nil {
		return nil, at, fmt.Errorf("queue: read a dead letter of %s: %w", q.path, err)
	}
	return &letter, at, nil
}

func (q *Queue) settleLetter(ctx context.Context, at place, letter workers.DeadLetter, fate workers.Fate) error {
	switch fate {
	case workers.Keep:
		return nil
	case workers.Replay:
		if letter.Reason == workers.Malformed {
			return workers.ErrNoReplay
		}
	case workers.Drop:
	default:
		return fmt.Errorf("unknown fate %q", fate)
	}
	return q.transaction(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM letter WHERE id = ? AND filed = ?`, at.id, at.filed)
		if err != nil || fate == workers.Drop {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err // somebody else has settled it, or it was filed anew
		}
		_, err = q.insert(ctx, tx, message{letter.Event, letter.Removal})
		return err
	})
}
