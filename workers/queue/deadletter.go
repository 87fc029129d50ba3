package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

// ErrNoLetter says that there is no such dead letter.
var ErrNoLetter = errors.New("queue: no such dead letter")

// File implements workers.DeadLetters.
func (q *Queue) File(ctx context.Context, letter workers.DeadLetter) error {
	if err := file(ctx, q.db, letter); err != nil {
		return fmt.Errorf("queue: file the dead letter of %s in %s: %w", letter.Event.ID, q.path, err)
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
	_, err = db.ExecContext(ctx, `INSERT INTO dead_letter(episode, revision, filed, body) VALUES (?, ?, ?, ?)
		ON CONFLICT(episode, revision) DO UPDATE SET filed = excluded.filed, body = excluded.body`,
		string(letter.Event.ID), int64(letter.Event.Revision), letter.Filed.UnixMilli(), string(body))
	return err
}

// DeadLetters lists the letters, oldest first, at most limit of them.
func (q *Queue) DeadLetters(ctx context.Context, limit int) (letters []workers.DeadLetter, err error) {
	rows, err := q.db.QueryContext(ctx, `SELECT body FROM dead_letter ORDER BY filed, episode, revision LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("queue: list the dead letters of %s: %w", q.path, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			body   string
			letter workers.DeadLetter
		)
		if err := rows.Scan(&body); err != nil {
			return nil, fmt.Errorf("queue: list the dead letters of %s: %w", q.path, err)
		}
		if err := json.Unmarshal([]byte(body), &letter); err != nil {
			return nil, fmt.Errorf("queue: a dead letter of %s is unreadable (written by another version?): %w", q.path, err)
		}
		letters = append(letters, letter)
	}
	return letters, rows.Err()
}

// Redrive publishes the letter's event again, as it was, and removes the
// letter, both or neither. It returns ErrNoLetter when there is none.
func (q *Queue) Redrive(ctx context.Context, id episode.ID, revision episode.Revision) error {
	err := q.transaction(ctx, func(tx *sql.Tx) error {
		var (
			body   string
			letter workers.DeadLetter
		)
		err := tx.QueryRowContext(ctx, `DELETE FROM dead_letter WHERE episode = ? AND revision = ? RETURNING body`, string(id), int64(revision)).Scan(&body)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNoLetter
		}
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(body), &letter); err != nil {
			return err
		}
		_, err = q.insert(ctx, tx, letter.Event)
		return err
	})
	if err != nil {
		return fmt.Errorf("queue: drive %s revision %d again: %w", id, revision, err)
	}
	q.signal()
	return nil
}
