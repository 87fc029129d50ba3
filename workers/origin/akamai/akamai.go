// Package akamai purges an origin's names from Akamai's caches by URL, through
// the Fast Purge API, version 3.
package akamai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/purge"
)

// requestBytes is Fast Purge's limit for a request's body.
const requestBytes = 50_000

// Options say what to purge. Credentials and URLs are needed.
type Options struct {
	Credentials Credentials
	URLs        []string // the public addresses of the origin's root
	Network     string   // "production" or "staging"; zero: production
	API         string   // zero: https:// and the credentials' host
	Retry       purge.Retry
}

// Purger is an origin.Purger.
type Purger struct {
	options Options
	bases   []string
	client  *http.Client
}

// New checks the options; it sends nothing.
func New(o Options) (*Purger, error) {
	c := o.Credentials
	if c.ClientToken == "" || c.ClientSecret == "" || c.AccessToken == "" || c.Host == "" && o.API == "" {
		return nil, errors.New("akamai: the credentials need host, client token, client secret and access token, as in .edgerc")
	}
	switch o.Network {
	case "":
		o.Network = "production"
	case "production", "staging":
	default:
		return nil, fmt.Errorf("akamai: network %q is neither production nor staging", o.Network)
	}
	if o.API == "" {
		o.API = "https://" + c.Host
	}
	o.API = strings.TrimSuffix(o.API, "/")
	bases, err := purge.Bases(o.URLs)
	if err != nil {
		return nil, fmt.Errorf("akamai: %w", err)
	}
	return &Purger{options: o, bases: bases, client: purge.Client()}, nil
}

// Name is "akamai".
func (p *Purger) Name() string { return "akamai" }

// Purge purges every name under each address. Refresh invalidates: the edge
// asks the origin whether its copy is still current. Forget deletes the copy.
func (p *Purger) Purge(ctx context.Context, names []string, how origin.Purge) error {
	for _, body := range bodies(purge.URLs(p.bases, names)) {
		if err := p.post(ctx, body, how); err != nil {
			return fmt.Errorf("akamai: purging %d names: %w", len(names), err)
		}
	}
	return nil
}

// bodies fits the URLs into as few requests as the limit allows.
func bodies(urls []string) (all [][]byte) {
	const begin, end = `{"objects":[`, `]}`
	var b bytes.Buffer
	flush := func() {
		if b.Len() > 0 {
			all = append(all, []byte(begin+b.String()+end))
		}
		b.Reset()
	}
	for _, url := range urls {
		quoted, err := json.Marshal(url)
		if err != nil {
			panic(err) // a string always marshals
		}
		if b.Len()+len(quoted)+1+len(begin)+len(end) > requestBytes {
			flush()
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.Write(quoted)
	}
	flush()
	return all
}

func (p *Purger) post(ctx context.Context, body []byte, how origin.Purge) error {
	action := "invalidate"
	if how == origin.Forget {
		action = "delete"
	}
	c := p.options.Credentials
	return p.options.Retry.Do(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.options.API+"/ccu/v3/"+action+"/url/"+p.options.Network, bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", c.authorization(request, body, time.Now(), newNonce(), signedBytes))
		return purge.Send(p.client, request, c.ClientToken, c.ClientSecret, c.AccessToken)
	})
}

// Close lets go of idle connections.
func (p *Purger) Close() { p.client.CloseIdleConnections() }
