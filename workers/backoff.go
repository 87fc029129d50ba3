package workers

import (
	"math/rand/v2"
	"time"
)

// Backoff is how long failed deliveries wait: a random time up to a bound that
// is First after the first failure and doubles with each up to Longest ("full
// jitter", Brooker 2015), so that episodes that failed together do not come
// back together.
type Backoff struct {
	First   time.Duration // zero: 2 s
	Longest time.Duration // zero: 5 min
}

func (b Backoff) bounds() (first, longest time.Duration) {
	first, longest = b.First, b.Longest
	if first <= 0 {
		first = 2 * time.Second
	}
	if longest <= 0 {
		longest = 5 * time.Minute
	}
	return min(first, longest), longest
}

// within brings a pause between the first bound and the longest.
func (b Backoff) within(d time.Duration) time.Duration {
	first, longest := b.bounds()
	return min(max(first, d), longest)
}

// Wait is the pause after the failure-th failure, 1 for the first.
func (b Backoff) Wait(failure int, random *rand.Rand) time.Duration {
	wait, longest := b.bounds()
	for i := 1; i < failure && wait < longest; i++ {
		wait = min(2*wait, longest)
	}
	return time.Duration(random.Int64N(int64(wait) + 1))
}
