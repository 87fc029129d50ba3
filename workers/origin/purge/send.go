package purge

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// answerBytes is how much of a CDN's answer is read.
const answerBytes = 64 << 10

// Client returns the client to purge with: it bounds each request, and does
// not follow redirects, which would carry the credentials elsewhere.
func Client() *http.Client {
	return &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Send sends the request. Any status but 2xx is a *Refusal; secrets are cut
// from what it quotes, should the answer repeat them.
func Send(client *http.Client, request *http.Request, secrets ...string) error {
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerBytes))
	if response.StatusCode/100 == 2 {
		if err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		return nil
	}
	return NewRefusal(response.StatusCode, response.Header, string(body), secrets...)
}

// NewRefusal makes a refusal of an answer's parts. It passes if the status is
// one of load or of a fault.
func NewRefusal(status int, header http.Header, detail string, secrets ...string) *Refusal {
	return &Refusal{Status: status, Detail: quoted(detail, secrets), After: retryAfter(header, time.Now()), Passes: passes(status)}
}

// quoted is the beginning of an answer on one line.
func quoted(body string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" {
			body = strings.ReplaceAll(body, secret, "[secret]")
		}
	}
	body = strings.Join(strings.FieldsFunc(body, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	const most = 300
	if len(body) > most {
		body = strings.ToValidUTF8(body[:most], "") + "…"
	}
	return body
}

// Bases checks the public addresses that caches serve the origin's root at,
// and ends each with a slash.
func Bases(addresses []string) (bases []string, err error) {
	if len(addresses) == 0 {
		return nil, fmt.Errorf("no address: give the public one that the origin's root is served at, such as https://cdn.example.org/previews/")
	}
	for _, address := range addresses {
		u, err := url.Parse(address)
		switch {
		case err != nil || u.User != nil: // the error would quote it
			return nil, fmt.Errorf("an address is no URL, or has credentials in it")
		case u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
			return nil, fmt.Errorf("address %q: it must be of the form https://cdn.example.org/previews/", address)
		}
		bases = append(bases, strings.TrimSuffix(address, "/")+"/")
	}
	return bases, nil
}

// URLs are the names' addresses under every base.
func URLs(bases, names []string) []string {
	urls := make([]string, 0, len(bases)*len(names))
	for _, base := range bases {
		for _, name := range names {
			urls = append(urls, base+Path(name))
		}
	}
	return urls
}

// Path is a name as a URL's path. What a CDN might read as a wildcard is
// escaped too.
func Path(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(url.PathEscape(part), "*", "%2A")
	}
	return strings.Join(parts, "/")
}
