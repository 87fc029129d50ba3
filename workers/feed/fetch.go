package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// answer is what a feed's server said.
type answer struct {
	notModified        bool
	podcast            Podcast
	etag, lastModified string
	maxAge             time.Duration // how long the server calls it fresh
	moved              string        // where permanent redirects led; empty: nowhere
}

// refusal is an answer without a feed.
type refusal struct {
	status int
	until  time.Time // when the server wants to be asked again; zero: it does not say
}

func (r *refusal) Error() string {
	text := fmt.Sprintf("the server answered %d %s", r.status, http.StatusText(r.status))
	if r.status == http.StatusGone {
		text += ": its publisher ended it; take it off the list"
	}
	return text
}

// maxRedirects bounds a chain of redirects.
const maxRedirects = 10

// fetch asks for a feed at the address, unless it is still what etag and
// lastModified say, and reads it. Its errors show no address.
func (p *Poller) fetch(ctx context.Context, address string, who identity, etag, lastModified string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	at, err := url.Parse(address)
	if err != nil {
		return answer{}, errors.New("its address is no URL")
	}
	moved, permanent := "", true
	for range maxRedirects + 1 {
		response, err := p.ask(ctx, at, etag, lastModified)
		if err != nil {
			return answer{}, err
		}
		to, lasts := redirected(response)
		if !to {
			a, err := p.take(ctx, response, at.String(), who)
			a.moved = moved
			return a, err
		}
		next, err := follow(at, response.Header.Get("Location"), who.private)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return answer{}, err
		}
		at = next
		// What a temporary redirect leads to says nothing for good, and what may
		// be a secret is not to be kept.
		permanent = permanent && lasts && !episode.Secretive(at)
		if permanent {
			moved = at.String()
		}
	}
	return answer{}, fmt.Errorf("more than %d redirects", maxRedirects)
}

func redirected(response *http.Response) (to, lasts bool) {
	switch response.StatusCode {
	case http.StatusMovedPermanently, http.StatusPermanentRedirect:
		return true, true
	case http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect:
		return true, false
	}
	return false, false
}

// follow resolves a redirect. User and password go along only to the host that
// they are for, and what is private goes nowhere in clear.
func follow(at *url.URL, location string, private bool) (*url.URL, error) {
	next, err := at.Parse(location)
	if err != nil || location == "" || (next.Scheme != "http" && next.Scheme != "https") || next.Host == "" {
		return nil, errors.New("it redirects to what is no http or https address")
	}
	if private && at.Scheme == "https" && next.Scheme == "http" {
		return nil, errors.New("it redirects from https to http, which would show a private feed's address")
	}
	if next.User == nil && at.User != nil && next.Host == at.Host {
		next.User = at.User
	}
	next.Fragment = ""
	return next, nil
}

func (p *Poller) ask(ctx context.Context, at *url.URL, etag, lastModified string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, errors.New("its address is no URL")
	}
	request.Header.Set("User-Agent", p.options.UserAgent)
	request.Header.Set("Accept", "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5")
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	if lastModified != "" {
		request.Header.Set("If-Modified-Since", lastModified)
	}
	if user := at.User; user != nil {
		password, _ := user.Password()
		request.SetBasicAuth(user.Username(), password)
	}
	response, err := p.transport.RoundTrip(request)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %v: %w", p.options.Timeout, err)
	}
	return response, err
}

// take reads and closes an answer that is no redirect.
func (p *Poller) take(ctx context.Context, response *http.Response, at string, who identity) (a answer, err error) {
	body := &bounded{r: response.Body, left: p.options.MaxBytes, small: p.small, large: p.large, stop: ctx.Done()}
	defer body.release()
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	header := response.Header
	a.maxAge = maxAge(header.Get("Cache-Control"))
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotModified:
		a.notModified = true
		return a, nil
	default:
		return a, &refusal{status: response.StatusCode, until: p.retryAfter(header.Get("Retry-After"))}
	}
	a.podcast, err = parse(at, who, body, p.options.MaxItems)
	switch {
	case body.left < 0:
		err = fmt.Errorf("more than %d bytes", p.options.MaxBytes)
	case body.err != nil: // the parser's own error would only say where it was cut
		err = fmt.Errorf("the answer was cut: %w", body.err)
	}
	a.etag, a.lastModified = header.Get("ETag"), header.Get("Last-Modified")
	return a, err
}

// maxPostpone bounds how long a server can keep a feed from being polled.
const maxPostpone = 24 * time.Hour

// retryAfter reads the header of that name: seconds or a date (RFC 9110,
// 10.2.3); zero for what is neither, or past.
func (p *Poller) retryAfter(header string) time.Time {
	now := p.options.Now()
	var wait time.Duration
	if seconds, err := strconv.Atoi(strings.TrimSpace(header)); err == nil {
		wait = time.Duration(min(seconds, int(maxPostpone/time.Second))) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	if wait <= 0 {
		return time.Time{}
	}
	return now.Add(min(wait, maxPostpone))
}

// maxAge reads Cache-Control (RFC 9111, 5.2.2); zero without max-age.
func maxAge(header string) time.Duration {
	for directive := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
			return time.Duration(seconds) * time.Second
		}
	}
	return 0
}

// largeFeed is from how many bytes on a feed has to be the only such one that
// is read, since a parsed feed takes several times its size in memory.
const largeFeed = 4 << 20

// bounded is an io.LimitReader that can tell the limit from the end, keeps the
// error that it met, and waits for its turn once it is large.
type bounded struct {
	r    io.Reader
	left int64
	err  error // but io.EOF

	small int64         // bytes until it is large
	large chan struct{} // holds whoever is large
	holds bool
	stop  <-chan struct{}
}

func (b *bounded) Read(dst []byte) (int, error) {
	if b.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if b.small < 0 && !b.holds {
		select {
		case b.large <- struct{}{}:
			b.holds = true
		case <-b.stop:
			b.err = errors.New("other large feeds took all the time")
			return 0, b.err
		}
	}
	most := min(int64(len(dst)), b.left+1)
	if !b.holds {
		most = min(most, b.small+1)
	}
	n, err := b.r.Read(dst[:most])
	b.left -= int64(n)
	b.small -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// release lets the next large feed be read.
func (b *bounded) release() {
	if b.holds {
		<-b.large
	}
}
