package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/tokens"
)

// weights of title, description and speech in BM25: a word in the title says
// more about an episode than one of ten thousand that were spoken.
const score = `-bm25(episode_text, 8.0, 3.0, 1.0)`

// maxFacets is how many values of a facet are returned.
const maxFacets = 50

// selection is the episodes that a query asks for, as SQL.
type selection struct {
	from      string // FROM … WHERE …
	arguments []any
	order     string
	score     string
	scored    []any // the score's arguments
}

// Search implements index.Index.
func (x *Index) Search(ctx context.Context, q index.Query) (page index.Page, err error) {
	if q, err = q.Check(); err != nil {
		return index.Page{}, err
	}
	clauses, err := index.Parse(q.Text)
	if err != nil {
		return index.Page{}, err
	}
	all := tokens.Terms(clauses)
	page, err = x.search(ctx, q, all)
	if err != nil {
		return index.Page{}, fmt.Errorf("index: search %s: %w", x.path, err)
	}
	return page, nil
}

func (x *Index) search(ctx context.Context, q index.Query, all []tokens.Term) (page index.Page, err error) {
	// One transaction: the count, the hits and the facets are of one moment.
	tx, err := x.reading.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return page, err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()

	var like *episode.Embedding
	if q.Like != "" {
		if like, err = embedding(ctx, tx, q.Like); err != nil {
			return page, err
		}
	}
	chosen := choose(q, all, like)
	if err := tx.QueryRowContext(ctx, `SELECT count(*) `+chosen.from, chosen.arguments...).Scan(&page.Total); err != nil {
		return page, err
	}
	if page.Hits, err = hits(ctx, tx, q, chosen, all); err != nil {
		return page, err
	}
	facets := []struct {
		kind string
		to   *[]index.Facet
	}{{"language", &page.Facets.Language}, {"topic", &page.Facets.Topic}, {"event", &page.Facets.Event}}
	for _, f := range facets {
		if *f.to, err = facet(ctx, tx, chosen, f.kind); err != nil {
			return page, err
		}
	}
	return page, nil
}

func choose(q index.Query, all []tokens.Term, like *episode.Embedding) selection {
	s := selection{from: `FROM episode WHERE NOT removed`, order: `published DESC NULLS LAST, id`, score: `0`}
	m := match(all)
	switch {
	case like != nil:
		wanted := pack(like.Values)
		s = selection{
			from:      `FROM vector JOIN episode ON episode.num = vector.episode WHERE model = ? AND length(components) = ? AND id <> ?`,
			arguments: []any{like.Model, len(wanted), string(q.Like)},
			order:     `score DESC, id`, score: `inner_product(components, ?)`, scored: []any{wanted},
		}
		if m != "" {
			s.from += ` AND num IN (SELECT rowid FROM episode_text WHERE episode_text MATCH ?)`
			s.arguments = append(s.arguments, m)
		}
	case m != "":
		s = selection{from: `FROM episode_text JOIN episode ON episode.num = episode_text.rowid WHERE episode_text MATCH ?`, order: `score DESC, id`, score: score}
		s.arguments = append(s.arguments, m)
	}
	and := func(condition string, arguments ...any) {
		s.from += ` AND ` + condition
		s.arguments = append(s.arguments, arguments...)
	}
	if q.Podcast != "" {
		and(`podcast = ?`, q.Podcast)
	}
	if q.Language != "" {
		tag := strings.ToLower(q.Language)
		and(`(lower(language) = ? OR substr(lower(language), 1, length(?)) = ?)`, tag, tag+"-", tag+"-")
	}
	labels := []struct{ kind, value string }{{"topic", q.Topic}, {"event", q.Event}}
	for _, l := range labels {
		if l.value != "" {
			and(`EXISTS (SELECT 1 FROM label WHERE episode = episode.num AND kind = ? AND (folded = ? OR code = ?))`, l.kind, tokens.Join(l.value), l.value)
		}
	}
	if !q.PublishedFrom.IsZero() {
		and(`published >= ?`, q.PublishedFrom.UnixMilli())
	}
	if !q.PublishedBefore.IsZero() {
		and(`published < ?`, q.PublishedBefore.UnixMilli())
	}
	return s
}

// found is a hit with the number of its row.
type found struct {
	num int64
	hit index.Hit
}

func hits(ctx context.Context, tx *sql.Tx, q index.Query, chosen selection, all []tokens.Term) ([]index.Hit, error) {
	statement := `SELECT num, id, podcast, title, description, language, published, duration, preview, ` + chosen.score + ` AS score ` +
		chosen.from + ` ORDER BY ` + chosen.order + ` LIMIT ? OFFSET ?`
	rows, err := tx.QueryContext(ctx, statement, slices.Concat(chosen.scored, chosen.arguments, []any{q.Limit, q.Offset})...)
	if err != nil {
		return nil, err
	}
	onPage, err := scanAll(rows, func(rows *sql.Rows) (f found, err error) {
		var published sql.NullInt64
		h := &f.hit
		err = rows.Scan(&f.num, &h.ID, &h.Podcast, &h.Title, &h.Description, &h.Language, &published, &h.Duration, &h.Preview, &h.Score)
		if published.Valid {
			h.PublishedAt = time.UnixMilli(published.Int64).UTC()
		}
		return f, err
	})
	if err != nil {
		return nil, err
	}
	result := make([]index.Hit, len(onPage))
	for i, f := range onPage {
		h := f.hit
		h.Title = tokens.Mark(h.Title, tokens.Matches(h.Title, all), q.Open, q.Close)
		excerpt, marks := tokens.Excerpt(h.Description, tokens.Matches(h.Description, all))
		h.Description = tokens.Mark(excerpt, marks, q.Open, q.Close)
		if h.Moments, err = moments(ctx, tx, q, f.num, all); err != nil {
			return nil, err
		}
		result[i] = h
	}
	return result, nil
}

// moments are the segments of an episode that say what is sought. A phrase
// that goes over the end of a segment is in none; the words of it then serve.
func moments(ctx context.Context, tx *sql.Tx, q index.Query, num int64, all []tokens.Term) ([]index.Moment, error) {
	best, err := momentsOf(ctx, tx, q, num, all)
	if err != nil || len(best) > 0 {
		return best, err
	}
	return momentsOf(ctx, tx, q, num, tokens.Each(all))
}

func momentsOf(ctx context.Context, tx *sql.Tx, q index.Query, num int64, all []tokens.Term) ([]index.Moment, error) {
	expression := anyOf(all)
	if expression == "" {
		return []index.Moment{}, nil
	}
	first := num * maxSegments
	rows, err := tx.QueryContext(ctx, `SELECT segment.num, start_time, end_time, segment.text
		FROM segment_text JOIN segment ON segment.num = segment_text.rowid
		WHERE segment_text MATCH ? AND segment_text.rowid BETWEEN ? AND ?
		ORDER BY bm25(segment_text), segment.num LIMIT ?`, expression, first, first+maxSegments-1, q.Moments)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, func(rows *sql.Rows) (m index.Moment, err error) {
		var (
			at         int64
			start, end float64
			text       string
		)
		err = rows.Scan(&at, &start, &end, &text)
		return index.Moment{
			Segment: int(at - first),
			Span:    episode.Span{Start: episode.Seconds(start), End: episode.Seconds(end)},
			Text:    tokens.Mark(text, tokens.Matches(text, all), q.Open, q.Close),
		}, err
	})
}

func facet(ctx context.Context, tx *sql.Tx, chosen selection, kind string) ([]index.Facet, error) {
	statement := `SELECT value, count(*) FROM label WHERE kind = ? AND episode IN (SELECT num ` + chosen.from + `) GROUP BY value ORDER BY count(*) DESC, value LIMIT ?`
	arguments := append([]any{kind}, chosen.arguments...)
	rows, err := tx.QueryContext(ctx, statement, append(arguments, maxFacets)...)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, func(rows *sql.Rows) (f index.Facet, err error) {
		err = rows.Scan(&f.Value, &f.Count)
		return f, err
	})
}

// scanAll reads and closes rows; its result is never nil.
func scanAll[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) (all []T, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	all = []T{}
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
