package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Options are the poller's settings; the zero value of each is its default.
type Options struct {
	Interval time.Duration // between the starts of two polls; zero: 5 min
	Timeout  time.Duration // for one feed; zero: 1 min
	MaxBytes int64         // of one feed, unpacked; zero: 32 MiB
	MaxItems int           // of one feed; zero: 5,000
	Parallel int           // feeds at once; zero: 4

	// Fresh is how long after its publication an episode that the first poll
	// of a feed finds still counts as live; older ones are backlog. Zero: all
	// are live.
	Fresh time.Duration

	UserAgent string // zero: "Earshot"; a contact address in it is good manners

	// Withdraw is told of an episode that was published and is now blocked by
	// its publisher. nil: only the log is.
	Withdraw func(ctx context.Context, id episode.ID, revision episode.Revision) error

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: discarded
}

// Publish takes an event over; when it returns nil the event is safe.
// Publishing the same event twice must do no harm.
type Publish func(ctx context.Context, e episode.Event) error

// Poller polls a list of feeds.
type Poller struct {
	feeds   []string
	client  *http.Client
	cursors Cursors
	publish Publish
	options Options

	mu        sync.Mutex
	notBefore map[string]time.Time // feeds that asked to be left alone
}

// New returns a poller of the feeds. The client decides which addresses may
// be reached. An address that is no http or https URL, or is named twice, is an
// error.
func New(feeds []string, client *http.Client, cursors Cursors, publish Publish, o Options) (*Poller, error) {
	for i, feed := range feeds {
		if u, err := url.Parse(feed); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, fmt.Errorf("feed: %q is no http or https address of a feed", feed)
		}
		if slices.Contains(feeds[:i], feed) {
			return nil, fmt.Errorf("feed: %s is named twice", feed)
		}
	}
	if o.Interval <= 0 {
		o.Interval = 5 * time.Minute
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 32 << 20
	}
	if o.MaxItems <= 0 {
		o.MaxItems = 5000
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.UserAgent == "" {
		o.UserAgent = "Earshot"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Poller{feeds: feeds, client: client, cursors: cursors, publish: publish, options: o, notBefore: map[string]time.Time{}}, nil
}

// Summary is what a poll found.
type Summary struct {
	Polled    int       `json:"polled"`    // feeds that answered
	Unchanged int       `json:"unchanged"` // of these, feeds not modified since the last poll
	Waiting   int       `json:"waiting"`   // feeds that asked not to be polled yet
	New       int       `json:"new"`       // episodes published for the first time
	Changed   int       `json:"changed"`   // episodes published with a new revision
	Withdrawn int       `json:"withdrawn"` // episodes that their publisher now blocks
	Skipped   []Skipped `json:"skipped,omitempty"`
}

func (s *Summary) add(t Summary) {
	s.Polled += t.Polled
	s.Unchanged += t.Unchanged
	s.Waiting += t.Waiting
	s.New += t.New
	s.Changed += t.Changed
	s.Withdrawn += t.Withdrawn
	s.Skipped = append(s.Skipped, t.Skipped...)
}

// Poll asks each feed once and publishes what is new or changed, oldest entry
// first. A feed that fails does not keep the others from being polled; the
// error joins what failed, and what was not published is found again.
func (p *Poller) Poll(ctx context.Context) (Summary, error) {
	var (
		polls sync.WaitGroup
		mu    sync.Mutex
		sum   Summary
		errs  = make([]error, len(p.feeds))
		slots = make(chan struct{}, p.options.Parallel)
	)
	for i, feed := range p.feeds {
		polls.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			s, err := p.poll(ctx, feed)
			errs[i] = err
			mu.Lock()
			defer mu.Unlock()
			sum.add(s)
		})
	}
	polls.Wait()
	return sum, errors.Join(errs...)
}

// Run polls at the interval until ctx ends, and returns nil then. Failures
// are logged: a feed may be back at the next poll.
func (p *Poller) Run(ctx context.Context) error {
	ticker := time.NewTicker(p.options.Interval)
	defer ticker.Stop()
	for {
		sum, err := p.Poll(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			p.options.Log.Warn("a feed could not be polled", "error", err)
		}
		p.options.Log.Info("polled", "feeds", sum.Polled, "new", sum.New, "changed", sum.Changed, "withdrawn", sum.Withdrawn)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (p *Poller) poll(ctx context.Context, feed string) (sum Summary, err error) {
	if err := ctx.Err(); err != nil {
		return sum, err
	}
	if p.leaveAlone(feed) {
		return Summary{Waiting: 1}, nil
	}
	c, first, err := loadCursor(ctx, p.cursors, feed)
	if err != nil {
		return sum, err
	}
	answer, err := p.fetch(ctx, feed, c)
	if err != nil {
		return sum, err
	}
	sum.Polled = 1
	if answer.notModified {
		sum.Unchanged = 1
		return sum, nil
	}
	sum.Skipped = answer.podcast.Skipped

	now := p.options.Now()
	present := make(map[episode.ID]bool, len(answer.podcast.Items))
	known := map[episode.ID]bool{}
	pending := false
	for _, item := range answer.podcast.Items {
		id := item.Event.ID
		present[id] = true
		backlog := first && p.options.Fresh > 0 && now.Sub(item.Event.PublishedAt) > p.options.Fresh
		was, _, err := c.update(item, now, backlog)
		if err != nil {
			return sum, err
		}
		known[id] = was
		pending = pending || c.Items[id] != nil && c.Items[id].Pending
	}
	c.prune(present, p.options.MaxItems)
	if pending {
		// Revisions are decided before anything is published, so that a crash in
		// between cannot give one edition two of them.
		c.ETag, c.LastModified = "", ""
		if err := c.save(ctx, p.cursors, feed); err != nil {
			return sum, err
		}
	}
	for _, item := range slices.Backward(answer.podcast.Items) {
		s := c.Items[item.Event.ID]
		if s == nil || !s.Pending {
			continue
		}
		if err := p.hand(ctx, item, s); err != nil {
			// What was published stays so in the cursor; the rest is pending.
			return sum, errors.Join(fmt.Errorf("feed: publish %s of %s: %w", item.Event.ID, feed, err),
				c.save(context.WithoutCancel(ctx), p.cursors, feed))
		}
		s.Pending = false
		switch {
		case item.Blocked:
			sum.Withdrawn++
		case known[item.Event.ID]:
			sum.Changed++
		default:
			sum.New++
		}
	}
	c.ETag, c.LastModified = answer.etag, answer.lastModified
	return sum, c.save(ctx, p.cursors, feed)
}

func (p *Poller) hand(ctx context.Context, item Item, s *state) error {
	if item.Blocked {
		p.options.Log.Info("blocked by its publisher", "episode", item.Event.ID)
		if p.options.Withdraw == nil {
			return nil
		}
		return p.options.Withdraw(ctx, item.Event.ID, s.Revision)
	}
	e := item.Event
	e.Revision = s.Revision
	e.FirstSeen = time.UnixMilli(s.FirstSeen).UTC()
	e.Priority = episode.Live
	if s.Backlog {
		e.Priority = episode.Backlog
	}
	return p.publish(ctx, e)
}

// answer is what a feed's server said.
type answer struct {
	notModified        bool
	podcast            Podcast
	etag, lastModified string
}

func (p *Poller) fetch(ctx context.Context, feed string, c cursor) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, feed, nil)
	if err != nil {
		return a, fmt.Errorf("feed: fetch %s: %w", feed, err)
	}
	request.Header.Set("User-Agent", p.options.UserAgent)
	request.Header.Set("Accept", "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5")
	if c.ETag != "" {
		request.Header.Set("If-None-Match", c.ETag)
	}
	if c.LastModified != "" {
		request.Header.Set("If-Modified-Since", c.LastModified)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return a, fmt.Errorf("feed: fetch %s: %w", feed, err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotModified:
		return answer{notModified: true}, nil
	case http.StatusGone:
		return a, fmt.Errorf("feed: fetch %s: 410 Gone: its publisher ended it; take it off the list", feed)
	default:
		p.postpone(feed, response.Header.Get("Retry-After"))
		return a, fmt.Errorf("feed: fetch %s: the server answered %s", feed, response.Status)
	}
	body := &bounded{r: response.Body, left: p.options.MaxBytes}
	a.podcast, err = Parse(feed, body, p.options.MaxItems)
	if body.left < 0 {
		err = fmt.Errorf("feed: read %s: more than %d bytes", feed, p.options.MaxBytes)
	}
	a.etag, a.lastModified = response.Header.Get("ETag"), response.Header.Get("Last-Modified")
	return a, err
}

func (p *Poller) leaveAlone(feed string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.options.Now().Before(p.notBefore[feed])
}

// maxPostpone bounds how long a server can keep a feed from being polled.
const maxPostpone = 24 * time.Hour

func (p *Poller) postpone(feed, retryAfter string) {
	now := p.options.Now()
	var wait time.Duration
	if seconds, err := strconv.Atoi(strings.TrimSpace(retryAfter)); err == nil {
		wait = time.Duration(min(seconds, int(maxPostpone/time.Second))) * time.Second
	} else if at, err := http.ParseTime(retryAfter); err == nil {
		wait = at.Sub(now)
	}
	if wait > 0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.notBefore[feed] = now.Add(min(wait, maxPostpone))
	}
}

// bounded is an io.LimitReader that can tell the limit from the end.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(dst []byte) (int, error) {
	if b.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.r.Read(dst[:min(int64(len(dst)), b.left+1)])
	b.left -= int64(n)
	return n, err
}
