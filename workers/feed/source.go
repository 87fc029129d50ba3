package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Source is a feed of the list.
type Source struct {
	// URL is the feed's address, http or https. ${NAME} in it stands for a
	// secret (Options.Secret), which keeps the secret out of the list.
	URL string

	// Private says that the address is a secret, and those of its episodes too:
	// none of them is written to a log, an error or a cursor, and the events say
	// so. A feed whose address has a user, a reference to a secret or a parameter
	// that is called like one is private without being marked.
	Private bool
}

// Public makes sources of addresses.
func Public(addresses ...string) []Source {
	sources := make([]Source, len(addresses))
	for i, a := range addresses {
		sources[i] = Source{URL: a}
	}
	return sources
}

// Secret gives what a reference names: ${NAME} the environment's variable,
// ${file:PATH} what is in the file, without the line's end.
func Secret(name string) (string, error) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		body, err := os.ReadFile(path)
		return strings.TrimRight(string(body), "\r\n"), err
	}
	value, ok := os.LookupEnv(name)
	if !ok {
		return "", errors.New("the environment has no such variable")
	}
	return value, nil
}

// subscription is a source made ready to be asked.
type subscription struct {
	address string // as it is asked, with the secrets in it
	// known tells the feed from others, and its guid is derived from it: the
	// address as the list had it first, without user, password and referenced
	// secrets, so that these may change.
	known   string
	shown   string // may be written anywhere
	name    string // of the cursor; has no secret in it
	private bool
}

var reference = regexp.MustCompile(`\$\{([^{}]+)\}`)

// subscribe reads a source. Its errors show no secret.
func (s Source) subscribe(secret func(name string) (string, error)) (subscription, error) {
	plain := reference.ReplaceAllStringFunc(s.URL, func(r string) string { return url.QueryEscape(r[2 : len(r)-1]) })
	u, err := url.Parse(plain)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		if s.Private || plain != s.URL || strings.Contains(plain, "@") || strings.Contains(plain, "?") {
			return subscription{}, errors.New("feed: a feed's address is no http or https URL (it is not shown, since it may hold a secret)")
		}
		return subscription{}, fmt.Errorf("feed: %q is no http or https address of a feed", s.URL)
	}
	sub := subscription{address: s.URL, known: plain, private: s.Private || plain != s.URL || episode.Secretive(u)}
	if !sub.private {
		sub.name, sub.shown = s.URL, s.URL
		return sub, nil
	}
	if u.User != nil {
		u.User = nil
		sub.known = u.String()
	}
	// Also the path of a private feed often is a secret.
	sum := sha256.Sum256([]byte("earshot private feed\n" + sub.known))
	sub.name = "private/" + hex.EncodeToString(sum[:])
	sub.shown = u.Scheme + "://" + u.Host + "/… (private, " + hex.EncodeToString(sum[:4]) + ")"
	var failed error
	sub.address = reference.ReplaceAllStringFunc(s.URL, func(r string) string {
		name := r[2 : len(r)-1]
		value, err := secret(name)
		if err != nil || value == "" {
			failed = errors.Join(failed, fmt.Errorf("feed: %s: the secret ${%s} cannot be had: %w", sub.shown, name, orEmpty(err)))
		}
		return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
	})
	if failed != nil {
		return subscription{}, failed
	}
	if _, err := url.Parse(sub.address); err != nil {
		return subscription{}, fmt.Errorf("feed: %s: with its secrets the address is no URL", sub.shown)
	}
	return sub, nil
}

func orEmpty(err error) error {
	if err == nil {
		return errors.New("it is empty")
	}
	return err
}
