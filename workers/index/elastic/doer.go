package elastic

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// doer sends requests to the cluster's nodes in turn, as Elasticsearch 7 and 8
// want them.
type doer struct {
	client   *http.Client
	nodes    []*url.URL // without credentials
	turn     atomic.Uint64
	identity string // the Authorization header
}

func newDoer(o Options) (*doer, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64 // as many as there are episodes in flight, or connections churn
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authorities: %s holds no PEM certificate", o.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	d := &doer{client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	user := url.UserPassword(o.Username, o.Password)
	if o.Username == "" {
		user = nil
	}
	for i, address := range o.URLs {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			// Not the address itself, nor the error: they may hold a password.
			return nil, fmt.Errorf("address %d of %d is not http(s)://HOST:PORT", i+1, len(o.URLs))
		}
		if user == nil {
			user = u.User
		}
		d.nodes = append(d.nodes, &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")})
	}
	switch {
	case len(d.nodes) == 0:
		return nil, errors.New("no address: want at least one http(s)://HOST:PORT")
	case o.APIKey != "":
		d.identity = "ApiKey " + o.APIKey
	case user != nil:
		r := http.Request{Header: http.Header{}}
		password, _ := user.Password()
		r.SetBasicAuth(user.Username(), password)
		d.identity = r.Header.Get("Authorization")
	}
	return d, nil
}

// Media types by which Elasticsearch 8 speaks as 7 did; 7.17 knows them too.
const (
	compatibleJSON  = "application/vnd.elasticsearch+json; compatible-with=7"
	compatibleLines = "application/vnd.elasticsearch+x-ndjson; compatible-with=7"
)

// attempt is what a doer notes of one request, beside the response: the client
// library keeps neither.
type attempt struct {
	node  string
	err   error // no answer came
	after time.Duration
}

type attemptKey struct{}

// Do implements the client library's Doer. That no answer came is noted, and
// told as a status, since the library would take the cluster for dead.
func (d *doer) Do(r *http.Request) (*http.Response, error) {
	node := d.nodes[d.turn.Add(1)%uint64(len(d.nodes))]
	r.URL.Scheme, r.URL.Host, r.URL.Path = node.Scheme, node.Host, node.Path+r.URL.Path
	if node.Path != "" && r.URL.RawPath != "" {
		r.URL.RawPath = node.Path + r.URL.RawPath
	}
	r.Host = ""
	r.Header.Set("Accept", compatibleJSON)
	if r.Body != nil && r.Body != http.NoBody {
		if strings.Contains(r.Header.Get("Content-Type"), "ndjson") {
			r.Header.Set("Content-Type", compatibleLines)
		} else {
			r.Header.Set("Content-Type", compatibleJSON)
		}
	}
	if d.identity != "" {
		r.Header.Set("Authorization", d.identity)
	}
	note, _ := r.Context().Value(attemptKey{}).(*attempt)
	if note == nil {
		note = &attempt{}
	}
	note.node = node.Host
	answer, err := d.client.Do(r)
	switch {
	case err != nil && r.Context().Err() != nil:
		return nil, r.Context().Err()
	case err != nil:
		note.err = err
		if u, ok := errors.AsType[*url.Error](err); ok {
			note.err = u.Err // the address is in the fault already
		}
		return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil)), Request: r}, nil
	}
	note.after = retryAfter(answer.Header.Get("Retry-After"), time.Now())
	return answer, nil
}

// retryAfter reads RFC 9110's Retry-After: seconds, or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(0, seconds), 24*3600)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, at.Sub(now)), 24*time.Hour)
	}
	return 0
}

func withAttempt(ctx context.Context) (context.Context, *attempt) {
	note := &attempt{}
	return context.WithValue(ctx, attemptKey{}, note), note
}
