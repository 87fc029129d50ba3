package episode

import "net/url"

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
