// Package episode is Earshot's vocabulary: what an episode is, what is heard
// in it, and the record that says so. Every other package speaks in these
// types; this one imports only the standard library. Times within an episode
// are Seconds from its first sample; the JSON field names are a stable
// contract (docs/cli.md).
package episode

import (
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ID identifies an episode for ever: the UUIDv5 of podcast guid + item guid.
type ID string

// Revision orders the editions of one episode: milliseconds since 1970 when
// the edition was first seen. It only grows.
type Revision int64

// Generation orders the pipelines: an integer in the configuration that grows
// when the graph or its models change.
type Generation int

// Version is what the index compares: a later revision wins, then a later
// generation.
type Version struct {
	Revision   Revision   `json:"revision"`
	Generation Generation `json:"generation"`
}

// Compare orders versions: -1 when v is older than w, 0 when equal, 1 when newer.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Revision, w.Revision), cmp.Compare(v.Generation, w.Generation))
}

// Seconds is a position or a length in an episode. It marshals with
// millisecond precision, so that records compare as bytes.
type Seconds float64

// MarshalJSON writes s rounded to milliseconds.
func (s Seconds) MarshalJSON() ([]byte, error) {
	f := float64(s)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("episode: %v is no time in an episode", f)
	}
	return strconv.AppendFloat(nil, round(f, 1e3), 'f', -1, 64), nil
}

// Duration converts s to a time.Duration.
func (s Seconds) Duration() time.Duration {
	return time.Duration(math.Round(float64(s) * float64(time.Second)))
}

// Score is a confidence, probability or rank in [0, 1] unless its field says
// otherwise. It marshals with four decimals.
type Score float64

// MarshalJSON writes s rounded to four decimals.
func (s Score) MarshalJSON() ([]byte, error) {
	f := float64(s)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("episode: %v is no score", f)
	}
	return strconv.AppendFloat(nil, round(f, 1e4), 'f', -1, 64), nil
}

func round(f, unit float64) float64 {
	const whole = 1 << 52 // has no fraction to round, and times unit it may be infinite
	if math.Abs(f) >= whole {
		return f
	}
	r := math.Round(f*unit) / unit
	if r == 0 {
		return 0 // never "-0"
	}
	return r
}

// Span is the half-open interval [Start, End) of an episode.
type Span struct {
	Start Seconds `json:"start"`
	End   Seconds `json:"end"`
}

// Len is the span's length, never negative.
func (s Span) Len() Seconds { return max(0, s.End-s.Start) }

// latest is where a time is no time any more, but a mistake.
const latest Seconds = 10_000 * 3600

// Possible says whether the span can lie in an episode: it has a length, and
// is neither before the beginning nor where no episode reaches.
func (s Span) Possible() bool { return s.Start >= 0 && s.Start < s.End && s.End <= latest }

// Overlap is the length that s and t share.
func (s Span) Overlap(t Span) Seconds {
	return max(0, min(s.End, t.End)-max(s.Start, t.Start))
}

// podcastNamespace is the UUID under which the Podcasting 2.0 namespace
// derives podcast:guid from a feed's address.
var podcastNamespace = [16]byte{0xea, 0xd4, 0xc2, 0x36, 0xbf, 0x58, 0x58, 0xc6, 0xa2, 0xc6, 0xa6, 0xb2, 0x8d, 0x12, 0x8c, 0xb6}

// PodcastGUID derives a podcast's guid from its feed's URL as Podcasting 2.0
// specifies: UUIDv5 of the URL without its scheme and trailing slashes.
func PodcastGUID(feedURL string) string {
	s := feedURL
	if u, err := url.Parse(feedURL); err == nil && u.Scheme != "" {
		s = strings.TrimPrefix(feedURL, u.Scheme+"://")
	}
	return uuid5(podcastNamespace, strings.TrimRight(s, "/"))
}

// NewID derives an episode's id from its podcast's guid and its item's guid.
func NewID(podcastGUID, itemGUID string) ID {
	ns := podcastNamespace
	if b, err := hex.DecodeString(strings.ReplaceAll(podcastGUID, "-", "")); err == nil && len(b) == 16 {
		ns = [16]byte(b)
	} else {
		itemGUID = podcastGUID + "\n" + itemGUID
	}
	return ID(uuid5(ns, itemGUID))
}

// uuid5 is RFC 9562's name-based UUID with SHA-1.
func uuid5(ns [16]byte, name string) string {
	h := sha1.New()
	h.Write(ns[:])
	h.Write([]byte(name))
	b := [16]byte(h.Sum(nil)[:16])
	b[6] = b[6]&0x0f | 0x50
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
