package enclosure

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-fm/earshot/audio"
)

// The codes of rejections, beside PrivateAddress.
const (
	BadURL           = "bad-url"
	NotFound         = "enclosure-not-found"
	Gone             = "enclosure-gone"
	Forbidden        = "enclosure-forbidden"
	Refused          = "enclosure-refused" // any other 4xx
	TooLarge         = "enclosure-too-large"
	TooManyRedirects = "too-many-redirects"
	Encoded          = "enclosure-encoded"
)

// TransientError says that the same enclosure may well be had later.
type TransientError struct {
	Detail     string
	Status     int           // of the answer; 0 without one
	RetryAfter time.Duration // what the server asked for; 0 when it did not
	Err        error         // may be nil
}

func (e *TransientError) Error() string {
	s := e.Detail
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.RetryAfter > 0 {
		s += fmt.Sprintf(" (the server asks for %v)", e.RetryAfter)
	}
	return s
}

func (e *TransientError) Unwrap() error { return e.Err }

// redacted is redact of an address; what is no URL is not shown at all.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(a malformed URL)"
	}
	return redact(u)
}

// redact shows a URL without what may be secret in it: of a private feed, user,
// password, query and path alike.
func redact(u *url.URL) string {
	var shown string
	switch {
	case u.Host != "":
		shown = u.Scheme + "://" + u.Host
	case u.Scheme != "":
		shown = u.Scheme + ":"
	}
	if u.Path == "" && u.Opaque == "" {
		return shown
	}
	if u.Path == "/" {
		return shown + "/"
	}
	if u.Host != "" {
		shown += "/"
	}
	return shown + "…"
}

// bare takes the URL that net/http puts around its errors off again, since it
// may carry secrets.
func bare(err error) error {
	var wrapped *url.Error
	for errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err
}

// statusError turns an answer that is no success into an error.
func statusError(at string, resp *http.Response, now time.Time) error {
	detail := fmt.Sprintf("enclosure: %s answered %d %s", at, resp.StatusCode, http.StatusText(resp.StatusCode))
	reject := func(code string) error { return &audio.Rejection{Code: code, Detail: detail} }
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound:
		return reject(NotFound)
	case code == http.StatusGone:
		return reject(Gone)
	case code == http.StatusForbidden, code == http.StatusUnauthorized:
		return reject(Forbidden)
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		return &TransientError{Detail: detail, Status: code, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), now)}
	}
	return reject(Refused)
}

// longestRetryAfter bounds what a server may ask for.
const longestRetryAfter = 24 * time.Hour

// retryAfter reads the header of that name: seconds or a date (RFC 9110,
// 10.2.3); zero for what is neither.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, longestRetryAfter)
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(0, date.Sub(now)), longestRetryAfter)
	}
	return 0
}
