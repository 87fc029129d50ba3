package workers

import (
	"math/rand/v2"
	"time"
)

// Backoff is how long failed deliveries wait: First doubles with each failure
// up to Longest, and half of the wait is random so that episodes that failed
// together do not come back together.
type Backoff struct {
	First   time.Duration // zero: 2 s
	Longest time.Duration // zero: 5 min
}

// Wait is the pause after the failure-th failure (1 for the first): between
// half of the doubled wait and all of it.
func (b Backoff) Wait(failure int, random *rand.Rand) time.Duration {
	first, longest := b.First, b.Longest
	if first <= 0 {
		first = 2 * time.Second
	}
	if longest <= 0 {
		longest = 5 * time.Minute
	}
	wait := min(first, longest)
	for i := 1; i < failure && wait < longest; i++ {
		wait = min(2*wait, longest)
	}
	half := wait / 2
	return wait - half + time.Duration(random.Int64N(int64(half)+1))
}
