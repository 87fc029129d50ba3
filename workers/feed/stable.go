package feed

import (
	"net/url"
	"regexp"
	"strings"
)

// stable is an address without what changes while it points at the same file:
// the scheme (http became https), user, fragment, counters that are put before
// it, and parameters that sign it or only count. Two addresses of one file are
// the same text then; it is for comparing, not for asking.
func stable(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	for range 8 { // counters are put before counters
		inner, ok := counted(u)
		if !ok {
			break
		}
		u = inner
	}
	var kept []string
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if name != "" && !fleeting.MatchString(name) {
			kept = append(kept, pair)
		}
	}
	same := url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: u.Path, RawPath: u.RawPath, RawQuery: strings.Join(kept, "&")}
	if same.Scheme == "http" {
		same.Scheme = "https"
	}
	return same.String()
}

// fleeting are parameters of signed addresses (Amazon S3 and CloudFront, Google
// Cloud Storage, Azure, Akamai and what resembles them) and of campaigns.
// Others, such as Megaphone's "updated" or a "v", may tell one file from the
// next.
var fleeting = regexp.MustCompile(`(?i)^(x-amz-.*|x-goog-.*|awsaccesskeyid|googleaccessid|signature|sig|expires|expiry|exp|key-pair-id|policy|` +
	`se|sp|sr|st|sv|spr|skoid|sktid|skt|ske|sks|skv|hdnts|hdnea|__token__|token|auth|auth_token|access_token|verify|hmac|nonce|` +
	`timestamp|ts|_|cb|cachebuster|rand|random|session|sid|sessionid|listeningsessionid|utm_.*|ref|referrer|dest-id|source|src|from|aid)$`)

// counters redirect to the address that follows their own path.
var counters = map[string]bool{
	"dts.podtrac.com": true, "www.podtrac.com": true, "play.podtrac.com": true, "podtrac.com": true,
	"chrt.fm": true, "chtbl.com": true, "pdst.fm": true, "op3.dev": true, "mgln.ai": true, "pscrb.fm": true,
	"prfx.byspotify.com": true, "verifi.podscribe.com": true, "arttrk.com": true, "claritaspod.com": true,
	"clrtpod.com": true, "media.blubrry.com": true, "pfx.vpixl.com": true, "tracking.swap.fm": true,
	"2.gum.fm": true, "p.podderapp.com": true, "growx.podkite.com": true, "flex.acast.com": true,
	"swap.fm": true, "track.podsitemedia.com": true, "pp.podsights.com": true, "stats.podcloud.fr": true,
}

// hostLike is a path's segment that may be a host: redirect.mp3 is none.
var hostLike = regexp.MustCompile(`(?i)^[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,24}$`)

// counted takes a counter off the front of an address.
func counted(u *url.URL) (*url.URL, bool) {
	if !counters[strings.ToLower(u.Hostname())] {
		return nil, false
	}
	segments := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	for i, s := range segments[:len(segments)-1] {
		rest := segments[i:]
		if decoded := strings.ToLower(s); decoded == "http:" || decoded == "https:" || decoded == "http%3a" || decoded == "https%3a" {
			for rest = rest[1:]; len(rest) > 0 && rest[0] == ""; rest = rest[1:] {
			}
			if len(rest) < 2 {
				return nil, false
			}
		} else if !hostLike.MatchString(s) {
			continue
		}
		inner, err := url.Parse("https://" + strings.Join(rest, "/"))
		if err != nil || inner.Host == "" {
			return nil, false
		}
		inner.RawQuery = u.RawQuery
		return inner, true
	}
	return nil, false
}
