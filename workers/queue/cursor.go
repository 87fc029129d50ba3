package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// LoadCursor returns what SaveCursor kept under name; nil when nothing was. A
// source that reads from outside keeps its place here, beside what it published.
func (q *Queue) LoadCursor(ctx context.Context, name string) ([]byte, error) {
	var body []byte
	err := q.db.QueryRowContext(ctx, `SELECT body FROM cursor WHERE name = ?`, name).Scan(&body)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("queue: load the cursor of %s from %s: %w", name, q.path, err)
	}
	return body, nil
}

// SaveCursor keeps body durably under name, in the place of was (nil: of
// nothing). saved is false when something else is there.
func (q *Queue) SaveCursor(ctx context.Context, name string, was, body []byte) (saved bool, err error) {
	var result sql.Result
	if was == nil {
		result, err = q.db.ExecContext(ctx, `INSERT INTO cursor(name, body) VALUES (?, ?) ON CONFLICT(name) DO NOTHING`, name, body)
	} else {
		result, err = q.db.ExecContext(ctx, `UPDATE cursor SET body = ? WHERE name = ? AND body = ?`, body, name, was)
	}
	var changed int64
	if err == nil {
		changed, err = result.RowsAffected()
	}
	if err != nil {
		return false, fmt.Errorf("queue: save the cursor of %s in %s: %w", name, q.path, err)
	}
	return changed == 1, nil
}
