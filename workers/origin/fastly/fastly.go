// Package fastly purges an origin's names from Fastly's caches: by URL, or by
// surrogate key where the origin's answers carry one.
package fastly

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/purge"
)

// keysPerRequest is Fastly's limit for one batch of surrogate keys.
const keysPerRequest = 256

// Options say what to purge. Token and one of URLs and Service are needed.
type Options struct {
	Token string // an API token whose scope allows to purge URLs and keys ("purge_select")

	// URLs are the public addresses of the origin's root. Each name is purged
	// by its URL under each of them.
	URLs []string
	// Service is the id of the Fastly service. If it is set, names are purged
	// by surrogate key, and the origin must answer with a Surrogate-Key header
	// that holds the name, as in "episodes/<id>/preview.json".
	Service string

	API   string // zero: https://api.fastly.com
	Retry purge.Retry
}

// Purger is an origin.Purger.
type Purger struct {
	options Options
	bases   []string
	client  *http.Client
}

// New checks the options; it sends nothing.
func New(o Options) (*Purger, error) {
	p := &Purger{options: o, client: purge.Client()}
	if o.Token == "" {
		return nil, errors.New("fastly: no token")
	}
	if o.Service == "" {
		bases, err := purge.Bases(o.URLs)
		if err != nil {
			return nil, fmt.Errorf("fastly: %w", err)
		}
		p.bases = bases
	}
	if p.options.API == "" {
		p.options.API = "https://api.fastly.com"
	}
	p.options.API = strings.TrimSuffix(p.options.API, "/")
	return p, nil
}

// Name is "fastly".
func (p *Purger) Name() string { return "fastly" }

// Purge purges every name. Refresh marks the copies stale, so that they are
// served while they are fetched anew.
func (p *Purger) Purge(ctx context.Context, names []string, how origin.Purge) error {
	if err := p.purge(ctx, names, how); err != nil {
		return fmt.Errorf("fastly: purging %d names: %w", len(names), err)
	}
	return nil
}

func (p *Purger) purge(ctx context.Context, names []string, how origin.Purge) error {
	if p.options.Service != "" {
		for keys := range slices.Chunk(names, keysPerRequest) {
			body, err := json.Marshal(map[string][]string{"surrogate_keys": keys})
			if err != nil {
				return err
			}
			if err := p.post(ctx, "/service/"+p.options.Service+"/purge", body, how); err != nil {
				return err
			}
		}
		return nil
	}
	for _, url := range purge.URLs(p.bases, names) {
		_, url, _ = strings.Cut(url, "://")
		if err := p.post(ctx, "/purge/"+url, nil, how); err != nil {
			return err
		}
	}
	return nil
}

func (p *Purger) post(ctx context.Context, path string, body []byte, how origin.Purge) error {
	return p.options.Retry.Do(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.options.API+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Fastly-Key", p.options.Token)
		request.Header.Set("Accept", "application/json")
		if body != nil {
			request.Header.Set("Content-Type", "application/json")
		}
		if how == origin.Refresh {
			request.Header.Set("Fastly-Soft-Purge", "1")
		}
		return purge.Send(p.client, request, p.options.Token)
	})
}

// Close lets go of idle connections.
func (p *Purger) Close() { p.client.CloseIdleConnections() }
