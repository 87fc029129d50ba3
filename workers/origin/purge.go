package origin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Purge says what a CDN is to do with its copies.
type Purge int

const (
	// Refresh: there is something newer. The copy may be served while it is
	// fetched anew.
	Refresh Purge = iota
	// Forget: the copy may not be served again.
	Forget
)

func (p Purge) String() string {
	if p == Forget {
		return "forget"
	}
	return "refresh"
}

// Purger has a CDN give up the copies it keeps. Methods may be called from
// many goroutines.
type Purger interface {
	// Name names the vendor in errors and metrics: "fastly".
	Name() string

	// Purge returns nil when the CDN has accepted that its copies of all names
	// are purged. Faults that may pass are tried again within ctx, and purging
	// twice does no harm. Errors hold no credentials.
	Purge(ctx context.Context, names []string, how Purge) error
}

// purge has all purgers purge the names at once and waits for them.
func (o *Origin) purge(ctx context.Context, names []string, how Purge) error {
	errs := make([]error, len(o.options.Purgers))
	var all sync.WaitGroup
	for i, p := range o.options.Purgers {
		all.Go(func() {
			began := time.Now()
			errs[i] = p.Purge(ctx, names, how)
			o.metrics.purged(p.Name(), how, time.Since(began), errs[i])
		})
	}
	all.Wait()
	var failed error
	for _, err := range errs {
		switch {
		case err != nil && failed != nil:
			failed = fmt.Errorf("%w; %w", failed, err)
		case err != nil:
			failed = err
		}
	}
	return failed
}

// refresh tells the CDNs that there is another manifest. It is best effort:
// what fails is counted, and the manifest expires soon.
func (o *Origin) refresh(ctx context.Context, manifest string) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.options.RefreshWait, errors.New("origin: the time for refreshing a manifest is over"))
	defer cancel()
	_ = o.purge(ctx, []string{manifest}, Refresh)
}
