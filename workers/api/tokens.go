package api

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
)

// Role is what a token allows.
type Role string

const (
	Read  Role = "read"
	Write Role = "write" // and to read
)

// Tokens are the bearer tokens that callers may have, read from a file. Only
// their hashes are kept.
type Tokens struct {
	path  string
	grant atomic.Pointer[[]grant]
}

// grant is one token.
type grant struct {
	name string
	role Role
	hash [sha256.Size]byte
}

// OpenTokens reads a file of tokens: a line for each, NAME:TOKEN to read, or
// NAME:ROLE:TOKEN with role read or write; empty lines and those that begin with
// # do not count. A name is for the log. A token is at least 20 characters of
// RFC 6750's: letters, digits and -._~+/, with = at the end.
func OpenTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	if err := t.Reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Reload reads the file again. When that fails, the tokens stay as they were.
func (t *Tokens) Reload() error {
	b, err := os.ReadFile(t.path)
	if err != nil {
		return fmt.Errorf("api: read tokens: %w", err)
	}
	grants, err := parseTokens(b)
	if err != nil {
		return fmt.Errorf("api: %s: %w", t.path, err)
	}
	t.grant.Store(&grants)
	return nil
}

var (
	tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/-]{16,}=*$`)
	nameForm  = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`)
)

const leastToken = 20

// parseTokens names lines, never what stands in them.
func parseTokens(b []byte) (grants []grant, err error) {
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		g := grant{role: Read}
		parts := strings.Split(line, ":")
		g.name = parts[0]
		switch {
		case len(parts) == 3:
			g.role = Role(parts[1])
		case len(parts) != 2:
			return nil, fmt.Errorf("line %d: want NAME:TOKEN or NAME:ROLE:TOKEN", n)
		}
		token := parts[len(parts)-1]
		g.hash = sha256.Sum256([]byte(token))
		switch {
		case !nameForm.MatchString(g.name):
			return nil, fmt.Errorf("line %d: the name is none: want up to 64 letters, digits and ._@-", n)
		case g.role != Read && g.role != Write:
			return nil, fmt.Errorf("line %d: the role is neither %q nor %q", n, Read, Write)
		case len(token) < leastToken || !tokenForm.MatchString(token):
			return nil, fmt.Errorf("line %d: the token is none: want %d characters or more, as `openssl rand -base64 32` makes them", n, leastToken)
		}
		for _, other := range grants {
			if other.hash == g.hash || other.name == g.name {
				return nil, fmt.Errorf("line %d: its name or its token was there before", n)
			}
		}
		grants = append(grants, g)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(grants) == 0 {
		return nil, fmt.Errorf("holds no tokens")
	}
	return grants, nil
}

// find looks a hash up in a time that does not depend on it.
func (t *Tokens) find(hash [sha256.Size]byte) (found grant, ok bool) {
	for _, g := range *t.grant.Load() {
		if subtle.ConstantTimeCompare(g.hash[:], hash[:]) == 1 {
			found, ok = g, true
		}
	}
	return found, ok
}

// bearer is the hash of the token that a request brings.
func bearer(h http.Header) (hash [sha256.Size]byte, ok bool) {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return hash, false
	}
	return sha256.Sum256([]byte(strings.TrimSpace(token))), true
}
