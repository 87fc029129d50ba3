// Package elastic is the index in Elasticsearch 7.17 and 8: one document an
// episode, which decides alone what is found, counted and shown, and one a
// segment of its transcript, by which the moment within it is found.
// A document's external version is its episode's (revision, generation), so
// that what is late changes nothing; a removal leaves a document that says so.
// Searchers and writers go by aliases, so that an operator can build the index
// anew behind them (Create, Reindex, Rebuild, Swap). See docs/search.md.
package elastic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	es "github.com/olivere/elastic/v7"

	"github.com/earshot-fm/earshot/workers/index"
)

// Refresh says when what Put has done is visible to Search. Get sees it when
// Put has returned, whatever is chosen; so does everyone a removal.
type Refresh string

const (
	// Wait: Put waits for the next refresh, which is up to the index's
	// refresh_interval (1 s unless set): many at once wait for the same one.
	Wait Refresh = "wait_for"
	// Now: each Put refreshes. Costly where many are put.
	Now Refresh = "true"
	// Later: Put does not wait. Search sees the episode within refresh_interval,
	// all of its older or all of its newer version until then.
	Later Refresh = "false"
)

// Options say where Elasticsearch is and how it is used.
type Options struct {
	URLs []string // http(s)://HOST:PORT, one a node; used in turn

	// Who we are: an API key (the encoded form), or a name and a password. Those
	// in a URL serve when none are here. They are in no error.
	Username, Password string
	APIKey             string

	CAFile string // PEM; empty: the system's authorities

	// Episodes and Segments are the aliases that searchers read; writers write to
	// the same with "-write" after them. Empty: "episodes", "segments".
	Episodes, Segments string

	Refresh Refresh       // empty: Wait
	Timeout time.Duration // of one request; zero: 30 s

	// Shards and Replicas of indices that Create, Reindex and Rebuild make.
	// Zero: as the cluster has it.
	Shards, Replicas int
}

// Index is a client of one pair of indices.
type Index struct {
	options Options
	client  *es.Client
	http    *http.Client
	pause   func(context.Context, time.Duration) error // between attempts
}

var _ index.Index = (*Index)(nil)

// Open makes a client. It does not reach for the cluster: a worker may start
// while that is away. Check does.
func Open(o Options) (*Index, error) {
	if o.Episodes == "" {
		o.Episodes = "episodes"
	}
	if o.Segments == "" {
		o.Segments = "segments"
	}
	if o.Refresh == "" {
		o.Refresh = Wait
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	switch o.Refresh {
	case Wait, Now, Later:
	default:
		return nil, fmt.Errorf("index: elasticsearch: refresh %q is none of %q, %q and %q", o.Refresh, Wait, Now, Later)
	}
	if o.Episodes == o.Segments {
		return nil, fmt.Errorf("index: elasticsearch: %q is the name of both episodes and segments", o.Episodes)
	}
	d, err := newDoer(o)
	if err != nil {
		return nil, fmt.Errorf("index: elasticsearch: %w", err)
	}
	// NewSimpleClient neither sniffs nor checks health nor retries; its one
	// address stands for all, of which the doer chooses.
	client, err := es.NewSimpleClient(es.SetURL("http://elasticsearch"), es.SetHttpClient(d))
	if err != nil {
		return nil, fmt.Errorf("index: elasticsearch: %w", err)
	}
	return &Index{options: o, client: client, http: d.client, pause: pause}, nil
}

// Close closes idle connections. Nothing may run.
func (x *Index) Close() error {
	x.client.Stop()
	x.http.CloseIdleConnections()
	return nil
}

func (x *Index) writeEpisodes() string { return x.options.Episodes + writeSuffix }
func (x *Index) writeSegments() string { return x.options.Segments + writeSuffix }

const (
	writeSuffix = "-write"
	versionMark = "-v" // before the number of a pair of indices
)

// failed says what was being done when err came about. What a caller asks an
// error for stays in it.
func failed(doing string, err error) error {
	if f, ok := errors.AsType[*fault](err); ok && f.transient() {
		err = &index.Unavailable{After: f.after, Err: err}
	}
	return fmt.Errorf("index: %s: %w", doing, err)
}
