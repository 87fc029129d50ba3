// Package sqlite is the embedded index: one SQLite file with FTS5 tables over
// titles, descriptions and transcripts, ranked by BM25. Texts are cut into
// tokens before SQLite sees them, so that accents do not matter and languages
// that write no spaces can be searched; several processes may share the file.
package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	_ "modernc.org/sqlite" // the database driver

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/tokens"
)

// schema: published is in milliseconds since 1970, null when unknown. The
// full-text tables keep no texts; their rows have the numbers of the rows in
// episode and segment. A removed episode's row stays, without its content.
const schema = `
CREATE TABLE IF NOT EXISTS episode (
  num         INTEGER PRIMARY KEY,
  id          TEXT NOT NULL UNIQUE,
  revision    INTEGER NOT NULL,
  generation  INTEGER NOT NULL,
  removed     INTEGER NOT NULL,
  podcast     TEXT NOT NULL,
  title       TEXT NOT NULL,
  description TEXT NOT NULL,
  language    TEXT NOT NULL,
  published   INTEGER,
  duration    REAL NOT NULL,
  preview     TEXT NOT NULL,
  document    TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS episode_published ON episode(published);
CREATE TABLE IF NOT EXISTS segment (
  num        INTEGER PRIMARY KEY,
  start_time REAL NOT NULL,
  end_time   REAL NOT NULL,
  text       TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS label (
  episode INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  value   TEXT NOT NULL,
  folded  TEXT NOT NULL,
  code    TEXT NOT NULL,
  PRIMARY KEY (episode, kind, value)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vector (
  episode    INTEGER PRIMARY KEY,
  model      TEXT NOT NULL,
  components BLOB NOT NULL
);
CREATE VIRTUAL TABLE IF NOT EXISTS episode_text USING fts5(title_words, description_words, speech_words, content='', contentless_delete=1, tokenize='ascii');
CREATE VIRTUAL TABLE IF NOT EXISTS segment_text USING fts5(text, content='', contentless_delete=1, tokenize='ascii');`

// maxSegments is how many segments one episode's range of numbers holds: a
// segment's number is its episode's, times this, plus its place.
const maxSegments = 1 << 20

// Index is an open index file.
type Index struct {
	path    string
	writing *sql.DB // one connection: SQLite has one writer at a time
	reading *sql.DB
}

var _ index.Index = (*Index)(nil)

// Open opens the index in the file at path, creating it when it is missing.
// The folder must exist and be on a local disk.
func Open(ctx context.Context, path string) (*Index, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("index: open %s: %w", path, err)
	}
	// FULL, not NORMAL: an event is acknowledged when Put has returned, and a
	// write-ahead log that is not synced loses its tail with the power.
	dsn := func(lock string) string {
		return (&url.URL{Scheme: "file", Path: absolute, RawQuery: url.Values{
			"_pragma": {"busy_timeout(15000)", "journal_mode(WAL)", "synchronous(FULL)"},
			"_txlock": {lock},
		}.Encode()}).String()
	}
	x := &Index{path: path}
	if x.writing, err = sql.Open("sqlite", dsn("immediate")); err != nil {
		return nil, fmt.Errorf("index: open %s: %w", path, err)
	}
	x.writing.SetMaxOpenConns(1)
	if err := prepare(ctx, x.writing, absolute); err != nil {
		return nil, errors.Join(fmt.Errorf("index: open %s (is its folder there and writable?): %w", path, err), x.writing.Close())
	}
	if x.reading, err = sql.Open("sqlite", dsn("deferred")); err != nil {
		return nil, errors.Join(fmt.Errorf("index: open %s: %w", path, err), x.writing.Close())
	}
	return x, nil
}

// prepare makes the tables, one process at a time: of several that turn a new
// file to write-ahead logging at one instant all but one fail, whatever their
// busy timeout.
func prepare(ctx context.Context, db *sql.DB, path string) (err error) {
	turn, err := os.OpenFile(path+"-open", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, turn.Close()) }() // the lock goes with it
	if err := syscall.Flock(int(turn.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, schema)
	return err
}

// Close closes the file.
func (x *Index) Close() error {
	if err := errors.Join(x.reading.Close(), x.writing.Close()); err != nil {
		return fmt.Errorf("index: close %s: %w", x.path, err)
	}
	return nil
}

// Put implements index.Index.
func (x *Index) Put(ctx context.Context, d index.Document) (result index.Result, err error) {
	if d.ID == "" || len(d.Segments) >= maxSegments {
		return "", fmt.Errorf("index: put %q with %d segments: an id is needed, and at most %d segments", d.ID, len(d.Segments), maxSegments-1)
	}
	body, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("index: put %s: %w", d.ID, err)
	}
	err = x.transaction(ctx, func(tx *sql.Tx) error {
		there, err := lookUp(ctx, tx, d.ID)
		if err != nil {
			return err
		}
		result = index.Stored
		switch {
		case !there.found:
		case there.removed && d.Version.Revision <= there.version.Revision, d.Version.Compare(there.version) < 0:
			result = index.Overtaken
			return nil
		case there.document == string(body):
			result = index.Unchanged
			return nil
		default:
			if err := clear(ctx, tx, there.num); err != nil {
				return err
			}
		}
		return insert(ctx, tx, there, d, string(body))
	})
	if err != nil {
		return "", fmt.Errorf("index: put %s in %s: %w", d.ID, x.path, err)
	}
	return result, nil
}

// Get implements index.Index.
func (x *Index) Get(ctx context.Context, id episode.ID) (index.Entry, error) {
	there, err := lookUp(ctx, x.reading, id)
	var e index.Entry
	switch {
	case err == nil && !there.found:
		err = index.ErrNotFound
	case err == nil && there.removed:
		e = index.Entry{Document: index.Document{ID: id, Version: there.version}, Removed: true}
	case err == nil:
		err = json.Unmarshal([]byte(there.document), &e.Document)
	}
	if err != nil {
		return index.Entry{}, fmt.Errorf("index: get %s from %s: %w", id, x.path, err)
	}
	return e, nil
}

// Remove implements index.Index.
func (x *Index) Remove(ctx context.Context, id episode.ID, revision episode.Revision) (result index.Result, err error) {
	err = x.transaction(ctx, func(tx *sql.Tx) error {
		there, err := lookUp(ctx, tx, id)
		if err != nil {
			return err
		}
		switch {
		case there.found && there.version.Revision > revision:
			result = index.Overtaken
			return nil
		case there.removed && there.version.Revision == revision:
			result = index.Unchanged
			return nil
		}
		result = index.Stored
		if there.found {
			if err := clear(ctx, tx, there.num); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, upsert, string(id), int64(revision), 0, true, "", "", "", "", nil, 0, "", "")
		return err
	})
	if err != nil {
		return "", fmt.Errorf("index: remove %s from %s: %w", id, x.path, err)
	}
	return result, nil
}

// row is what the index holds under an id.
type row struct {
	found    bool
	num      int64
	version  episode.Version
	removed  bool
	document string
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, arguments ...any) *sql.Row
}

func lookUp(ctx context.Context, db querier, id episode.ID) (r row, err error) {
	err = db.QueryRowContext(ctx, `SELECT num, revision, generation, removed, document FROM episode WHERE id = ?`, string(id)).
		Scan(&r.num, &r.version.Revision, &r.version.Generation, &r.removed, &r.document)
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, nil
	}
	r.found = err == nil
	return r, err
}

const upsert = `INSERT INTO episode(id, revision, generation, removed, podcast, title, description, language, published, duration, preview, document)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT(id) DO UPDATE SET revision = excluded.revision, generation = excluded.generation, removed = excluded.removed,
	  podcast = excluded.podcast, title = excluded.title, description = excluded.description, language = excluded.language,
	  published = excluded.published, duration = excluded.duration, preview = excluded.preview, document = excluded.document`

// clear removes all that can be found of an episode, but not its row.
func clear(ctx context.Context, tx *sql.Tx, num int64) error {
	first, last := num*maxSegments, num*maxSegments+maxSegments-1
	statements := []struct {
		text      string
		arguments []any
	}{
		{`DELETE FROM segment_text WHERE rowid IN (SELECT num FROM segment WHERE num BETWEEN ? AND ?)`, []any{first, last}},
		{`DELETE FROM segment WHERE num BETWEEN ? AND ?`, []any{first, last}},
		{`DELETE FROM episode_text WHERE rowid = ?`, []any{num}},
		{`DELETE FROM label WHERE episode = ?`, []any{num}},
		{`DELETE FROM vector WHERE episode = ?`, []any{num}},
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s.text, s.arguments...); err != nil {
			return err
		}
	}
	return nil
}

func insert(ctx context.Context, tx *sql.Tx, there row, d index.Document, body string) error {
	var published any
	if !d.PublishedAt.IsZero() {
		published = d.PublishedAt.UnixMilli()
	}
	preview := ""
	if d.Preview != nil {
		preview = d.Preview.Manifest
	}
	_, err := tx.ExecContext(ctx, upsert, string(d.ID), int64(d.Version.Revision), int(d.Version.Generation), false,
		d.Podcast, d.Title, d.Description, d.Language, published, float64(d.Duration), preview, body)
	if err != nil {
		return err
	}
	if there, err = lookUp(ctx, tx, d.ID); err != nil {
		return err
	}
	speech := make([]string, len(d.Segments))
	for i, s := range d.Segments {
		speech[i] = tokens.Join(s.Text)
		num := there.num*maxSegments + int64(i)
		if _, err := tx.ExecContext(ctx, `INSERT INTO segment(num, start_time, end_time, text) VALUES (?, ?, ?, ?)`, num, float64(s.Start), float64(s.End), s.Text); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO segment_text(rowid, text) VALUES (?, ?)`, num, speech[i]); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO episode_text(rowid, title_words, description_words, speech_words) VALUES (?, ?, ?, ?)`,
		there.num, tokens.Join(d.Title), tokens.Join(d.Description), strings.Join(speech, " ")); err != nil {
		return err
	}
	if e := d.Embedding; e != nil {
		if _, err := tx.ExecContext(ctx, `INSERT INTO vector(episode, model, components) VALUES (?, ?, ?)`, there.num, e.Model, pack(e.Values)); err != nil {
			return err
		}
	}
	return insertLabels(ctx, tx, there.num, d)
}

func insertLabels(ctx context.Context, tx *sql.Tx, num int64, d index.Document) error {
	label := func(kind, value, code string) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO label(episode, kind, value, folded, code) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			num, kind, value, tokens.Join(value), code)
		return err
	}
	for _, t := range d.Topics {
		if err := label("topic", t.Name, t.ID); err != nil {
			return err
		}
	}
	for _, e := range d.SoundEvents {
		if err := label("event", e.Label, e.ID); err != nil {
			return err
		}
	}
	if d.Language != "" {
		return label("language", d.Language, strings.ToLower(d.Language))
	}
	return nil
}

func (x *Index) transaction(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := x.writing.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
