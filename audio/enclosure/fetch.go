package enclosure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-fm/earshot/audio"
)

// Options bound what a Fetcher does. A zero value stands for the default named.
type Options struct {
	MaxBytes     int64         // of one enclosure; 2 GiB
	Timeout      time.Duration // for one enclosure, all attempts together; 30 min
	IdleTimeout  time.Duration // in which less than 16 KiB came; 30 s
	MaxRedirects int           // 10; podcasts go through chains of trackers
	Attempts     int           // for a transfer that breaks; 4
	// AllowPrivate lists addresses that are not public and may be asked all the
	// same, such as 127.0.0.0/8; none.
	AllowPrivate []netip.Prefix
	// Compressed takes what a server compresses on the way, and asks for it: for
	// documents, whose hash is of no interest. Decompress undoes it.
	Compressed bool
	// Version and Contact make up the User-Agent, so that whoever runs a server
	// knows whom to ask. Contact is a URL or an address.
	Version, Contact string
	// Backoff is how long to wait before attempt n (2, 3, …); doubling from one
	// second.
	Backoff func(attempt int) time.Duration
	// Now is the clock; time.Now.
	Now func() time.Time
}

// Fetcher downloads enclosures. It is safe for concurrent use; Close when done.
type Fetcher struct {
	o         Options
	client    *http.Client
	transport *http.Transport
	agent     string
}

// New makes a Fetcher. It takes no proxy from the environment: through one, the
// address that is asked could not be checked.
func New(o Options) *Fetcher {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 2 << 30
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Minute
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 30 * time.Second
	}
	if o.MaxRedirects <= 0 {
		o.MaxRedirects = 10
	}
	if o.Attempts <= 0 {
		o.Attempts = 4
	}
	if o.Backoff == nil {
		o.Backoff = func(attempt int) time.Duration { return time.Second << min(attempt-2, 5) }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Version == "" {
		o.Version = "unknown"
	}
	f := &Fetcher{o: o, agent: "earshot/" + o.Version}
	if o.Contact != "" {
		f.agent += " (+" + o.Contact + ")"
	}
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second, Control: Guard(o.AllowPrivate)}
	f.transport = &http.Transport{
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // the hash is of the file's own bytes
		TLSHandshakeTimeout:    15 * time.Second,
		ResponseHeaderTimeout:  o.IdleTimeout,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConns:           32,
		MaxIdleConnsPerHost:    2,
		MaxResponseHeaderBytes: 64 << 10,
	}
	f.client = &http.Client{Transport: redirects{f.transport}, CheckRedirect: f.checkRedirect}
	return f
}

// Close ends idle connections.
func (f *Fetcher) Close() { f.transport.CloseIdleConnections() }

// File is an enclosure on disk.
type File struct {
	Path        string
	Bytes       int64
	SHA256      string // hexadecimal
	ContentType string // as the server claims; empty for a local file
	Encoding    string // Content-Encoding, with Options.Compressed alone
	Attempts    int    // 1 when all went well
	Resumed     bool   // part of it came in an earlier attempt
}

// Fetch downloads rawURL (http or https) to path, which it creates or replaces,
// and removes again when it fails. Errors: an *audio.Rejection when no retry can
// help, a *TransientError when one may, the cause of ctx when that ended, and
// the file system's own. None of them shows a user, a password or a query.
func (f *Fetcher) Fetch(ctx context.Context, rawURL, path string) (File, error) {
	u, err := checkURL(rawURL)
	if err != nil {
		return File{}, err
	}
	deadline := &TransientError{Detail: fmt.Sprintf("enclosure: %s took longer than %v", redact(u), f.o.Timeout), Err: context.DeadlineExceeded}
	ctx, cancel := context.WithTimeoutCause(ctx, f.o.Timeout, deadline)
	defer cancel()
	t, err := newTransfer(path)
	if err != nil {
		return File{}, err
	}
	defer t.abandon()
	for attempt := 1; ; attempt++ {
		err := f.attempt(ctx, u, t)
		if err == nil {
			file, err := t.complete()
			file.Attempts = attempt
			return file, err
		}
		if cause := context.Cause(ctx); cause != nil {
			return File{}, cause
		}
		var broken *brokenError
		if !errors.As(err, &broken) {
			return File{}, err
		}
		if attempt == f.o.Attempts {
			return File{}, &TransientError{Detail: fmt.Sprintf("enclosure: %s: the transfer broke %d times", redact(u), attempt), Err: broken.err}
		}
		if err := wait(ctx, f.o.Backoff(attempt+1)); err != nil {
			return File{}, err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func checkURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, &audio.Rejection{Code: BadURL, Detail: "enclosure: the URL is malformed"}
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, &audio.Rejection{Code: BadURL, Detail: fmt.Sprintf("enclosure: the URL's scheme is %.20q; http and https are possible", u.Scheme)}
	case u.Hostname() == "":
		return nil, &audio.Rejection{Code: BadURL, Detail: "enclosure: the URL names no host"}
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || port == 0) {
		return nil, &audio.Rejection{Code: BadURL, Detail: fmt.Sprintf("enclosure: %s has no port that there is", redact(u))}
	}
	return u, nil
}

// redirects looks at an answer that leads elsewhere before net/http does, which
// waits for its body, and shows its address in an error.
type redirects struct{ transport *http.Transport }

func (r redirects) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.transport.RoundTrip(req)
	if err != nil || resp.StatusCode < 300 || resp.StatusCode > 399 || resp.Header.Get("Location") == "" {
		return resp, err
	}
	_ = resp.Body.Close()
	if _, err := resp.Location(); err != nil {
		return nil, &audio.Rejection{Code: BadURL, Detail: "enclosure: " + redact(req.URL) + " leads to a URL that is malformed"}
	}
	resp.Body, resp.ContentLength = http.NoBody, 0
	return resp, nil
}

func (f *Fetcher) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > f.o.MaxRedirects {
		return &audio.Rejection{Code: TooManyRedirects, Detail: fmt.Sprintf("enclosure: more than %d redirects", f.o.MaxRedirects)}
	}
	if _, err := checkURL(req.URL.String()); err != nil {
		return err
	}
	// It would tell the next server the address of a private feed.
	req.Header.Del("Referer")
	return nil
}

// Local takes a file that is here already: its size is checked and its hash
// taken; it is neither copied nor removed. where is a path or a file:// URL.
func (f *Fetcher) Local(ctx context.Context, where string) (File, error) {
	path := where
	if strings.HasPrefix(where, "file://") {
		u, err := url.Parse(where)
		if err != nil || (u.Host != "" && u.Host != "localhost") {
			return File{}, &audio.Rejection{Code: BadURL, Detail: "enclosure: " + redacted(where) + " names no file of this machine"}
		}
		path = u.Path
	}
	stat, err := os.Stat(path) // before it is opened: opening a pipe waits for its writer
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !stat.Mode().IsRegular():
		return File{}, &audio.Rejection{Code: BadURL, Detail: "enclosure: " + path + " is no file"}
	case err != nil:
		return File{}, fmt.Errorf("enclosure: %w", err)
	}
	in, err := os.Open(path)
	if err != nil {
		return File{}, fmt.Errorf("enclosure: %w", err)
	}
	defer in.Close()
	switch stat, err = in.Stat(); {
	case err != nil:
		return File{}, fmt.Errorf("enclosure: %w", err)
	case stat.Size() > f.o.MaxBytes:
		return File{}, tooLarge(path, f.o.MaxBytes)
	}
	sum, n, err := hashAll(ctx, in)
	if err != nil {
		return File{}, fmt.Errorf("enclosure: reading %s: %w", path, err)
	}
	return File{Path: path, Bytes: n, SHA256: sum, Attempts: 1}, nil
}

func tooLarge(at string, limit int64) error {
	return &audio.Rejection{Code: TooLarge, Detail: fmt.Sprintf("enclosure: %s is larger than %d bytes", at, limit)}
}
