package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Options are the poller's settings; the zero value of each is its default.
type Options struct {
	Interval time.Duration // between two polls of a feed; zero: 5 min
	Longest  time.Duration // that a feed's own wishes (max-age, ttl) may stretch it to; zero: 1 h
	Timeout  time.Duration // for one feed; zero: 1 min
	MaxBytes int64         // of one feed, unpacked; zero: 32 MiB
	MaxItems int           // of one feed; zero: 5,000
	Parallel int           // feeds at once; zero: 16
	PerHost  int           // of these, at one host; zero: 1
	HostGap  time.Duration // between the starts of two requests to one host; zero: 250 ms

	// Fresh is how long after its publication an episode that the first poll
	// of a feed finds still counts as live; older ones are backlog. Zero: all
	// are live.
	Fresh time.Duration

	// TakeLocked reads feeds that say podcast:locked, which asks platforms not
	// to import them. Such feeds are passed over otherwise.
	TakeLocked bool

	// KeepVanished lets episodes stay that their publisher took out of the feed
	// without a word (itunes:block is one). They are withdrawn otherwise, once
	// the feed was seen without them twice.
	KeepVanished bool

	UserAgent string // zero: "Earshot"; a contact address in it is good manners

	// Withdraw is told of an episode that was published and that its publisher
	// wants gone. The removal's revision is newer than what was published, and
	// older than what may be published of it later. It follows the rules of
	// Publish. nil: only the log is told.
	Withdraw func(ctx context.Context, r episode.Removal) error

	// Secret gives what ${name} stands for in a Source's URL. nil: Secret, the
	// function.
	Secret func(name string) (string, error)

	Now    func() time.Time // nil: time.Now
	Random func() float64   // in [0, 1); nil: math/rand
	Log    *slog.Logger     // nil: discarded
}

func (o *Options) complete() {
	positive := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	positive(&o.Interval, 5*time.Minute)
	positive(&o.Longest, time.Hour)
	positive(&o.Timeout, time.Minute)
	positive(&o.HostGap, 250*time.Millisecond)
	if o.MaxBytes <= 0 {
		o.MaxBytes = 32 << 20
	}
	if o.MaxItems <= 0 {
		o.MaxItems = 5000
	}
	if o.Parallel <= 0 {
		o.Parallel = 16
	}
	if o.PerHost <= 0 {
		o.PerHost = 1
	}
	if o.UserAgent == "" {
		o.UserAgent = "Earshot"
	}
	if o.Secret == nil {
		o.Secret = Secret
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Publish takes an event over; when it returns nil the event is safe.
// Publishing the same event twice must do no harm.
type Publish func(ctx context.Context, e episode.Event) error

// Poller polls a list of feeds. Poll and Run are not to be called while one of
// them is under way.
type Poller struct {
	feeds  []subscription
	byName map[string]int // a feed's place in feeds by its cursor's name
	// transport, since an http.Client's errors show addresses and it reads
	// redirects before it is asked whether to follow.
	transport http.RoundTripper
	small     int64         // bytes up to which a feed is not large
	large     chan struct{} // has room for one large feed
	cursors   Cursors
	publish   Publish
	options   Options
}

// New returns a poller of the feeds. The client's transport, which is all that
// is used of it, decides which addresses may be reached. An address that is no http or https
// URL, is named twice, or whose secret cannot be had, is an error.
func New(feeds []Source, client *http.Client, cursors Cursors, publish Publish, o Options) (*Poller, error) {
	o.complete()
	p := &Poller{byName: make(map[string]int, len(feeds)), transport: client.Transport, small: largeFeed, large: make(chan struct{}, 1), cursors: cursors, publish: publish, options: o}
	if p.transport == nil {
		p.transport = http.DefaultTransport
	}
	for _, feed := range feeds {
		sub, err := feed.subscribe(o.Secret)
		if err != nil {
			return nil, err
		}
		if _, twice := p.byName[sub.name]; twice {
			return nil, fmt.Errorf("feed: %s is named twice", sub.shown)
		}
		p.byName[sub.name] = len(p.feeds)
		p.feeds = append(p.feeds, sub)
	}
	return p, nil
}

// Summary is what a poll found.
type Summary struct {
	Polled    int       `json:"polled"`    // feeds that answered
	Unchanged int       `json:"unchanged"` // of these, feeds not modified since the last poll
	Waiting   int       `json:"waiting"`   // feeds that asked not to be polled yet, or ended
	Passed    int       `json:"passed"`    // feeds that are blocked, locked or no podcast, or are in the list twice
	New       int       `json:"new"`       // episodes published for the first time
	Changed   int       `json:"changed"`   // episodes published with a new revision
	Withdrawn int       `json:"withdrawn"` // episodes that their publisher wants gone
	Skipped   []Skipped `json:"skipped,omitempty"`
}

func (s *Summary) add(t Summary) {
	s.Polled += t.Polled
	s.Unchanged += t.Unchanged
	s.Waiting += t.Waiting
	s.Passed += t.Passed
	s.New += t.New
	s.Changed += t.Changed
	s.Withdrawn += t.Withdrawn
	s.Skipped = append(s.Skipped, t.Skipped...)
}

// Poll asks each feed once and publishes what is new or changed, oldest entry
// first. A feed that fails does not keep the others from being polled; the
// error joins what failed, and what was not published is found again.
func (p *Poller) Poll(ctx context.Context) (Summary, error) {
	s := newSchedule(p.options.PerHost, p.options.HostGap)
	now := p.options.Now()
	place := make(map[*listing]int, len(p.feeds))
	for i, feed := range p.feeds {
		e := &listing{subscription: feed}
		place[e] = i
		s.add(e, hostOf(feed.address), now)
	}
	var sum Summary
	errs := make([]error, len(p.feeds))
	err := p.work(ctx, s, false, func(v visit) {
		sum.add(v.sum)
		errs[place[v.entry]] = v.err
	})
	return sum, errors.Join(append(errs, err)...)
}

// spread is how much time a feed's first poll may take to come for each feed of
// the list, an interval at most: so many feeds do not start at once.
const spread = 20 * time.Millisecond

// Run polls each feed at the interval, or as its server wishes, until ctx ends,
// and returns nil then. Failures are logged: a feed may be back at the next
// poll. It may be called again, as who leads again does.
func (p *Poller) Run(ctx context.Context) error {
	s := newSchedule(p.options.PerHost, p.options.HostGap)
	now := p.options.Now()
	within := min(p.options.Interval, time.Duration(len(p.feeds))*spread)
	for _, feed := range p.feeds {
		s.add(&listing{subscription: feed}, hostOf(feed.address), now.Add(time.Duration(p.options.Random()*float64(within))))
	}
	var sum Summary
	report := now.Add(p.options.Interval)
	late := time.Duration(0)
	err := p.work(ctx, s, true, func(v visit) {
		if v.err != nil && ctx.Err() == nil {
			p.options.Log.Warn("a feed could not be polled", "error", v.err)
		}
		sum.add(v.sum)
		sum.Skipped = nil
		late = max(late, v.started.Sub(v.entry.due))
		if now := p.options.Now(); !now.Before(report) {
			p.options.Log.Info("polled", "feeds", sum.Polled, "new", sum.New, "changed", sum.Changed, "withdrawn", sum.Withdrawn, "late", late)
			sum, late, report = Summary{}, 0, now.Add(p.options.Interval)
		}
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// visit is one feed's poll.
type visit struct {
	entry   *listing
	started time.Time
	sum     Summary
	err     error
	next    pace
}

// work polls what the schedule says until that is empty, or ctx ends, and tells
// seen of each poll; with again it puts the feeds back. It waits for the polls
// that it started.
func (p *Poller) work(ctx context.Context, s *schedule, again bool, seen func(visit)) error {
	var (
		polls   sync.WaitGroup
		done    = make(chan visit, p.options.Parallel)
		running = 0
		r       = newRound()
		timer   = time.NewTimer(time.Hour)
	)
	defer timer.Stop()
	finish := func(v visit) {
		running--
		s.done(v.entry, v.next.hold)
		seen(v)
		if again && !v.next.over {
			s.add(v.entry, v.next.host, v.next.due)
		}
	}
	defer func() {
		polls.Wait()
		for running > 0 {
			finish(<-done)
		}
	}()
	for {
		for running < p.options.Parallel && ctx.Err() == nil {
			now := p.options.Now()
			e := s.next(now)
			if e == nil {
				break
			}
			running++
			polls.Go(func() {
				v := visit{entry: e, started: now}
				v.sum, v.next, v.err = p.poll(ctx, r, e, again)
				done <- v
			})
		}
		at, known := s.wake()
		if running == 0 && (!known || ctx.Err() != nil) {
			return ctx.Err()
		}
		var wake <-chan time.Time
		if known && running < p.options.Parallel {
			timer.Reset(at.Sub(p.options.Now()))
			wake = timer.C
		}
		select {
		case v := <-done:
			finish(v)
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}
