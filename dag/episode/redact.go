package episode

import (
	"net/url"
	"regexp"
)

// Redact shows an address without what may be secret in it: user, password,
// query and fragment. What is no URL is not shown at all.
func Redact(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(a malformed URL)"
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return shown.String()
}

// secretParameter are names of query parameters that hold what only one
// subscriber is given.
var secretParameter = regexp.MustCompile(`(?i)^(auth|authkey|auth_token|access_token|token|key|apikey|api_key|secret|password|passwd|pass|pw|sig|signature)$`)

// Secretive says whether an address looks as if it were for one subscriber.
func Secretive(u *url.URL) bool {
	if u.User != nil {
		return true
	}
	for name := range u.Query() {
		if secretParameter.MatchString(name) {
			return true
		}
	}
	return false
}
