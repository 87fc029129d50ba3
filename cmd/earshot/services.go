package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/earshot-fm/earshot/workers/feed"
	"github.com/earshot-fm/earshot/workers/index/elastic"
	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/akamai"
	"github.com/earshot-fm/earshot/workers/origin/cloudfront"
	"github.com/earshot-fm/earshot/workers/origin/fastly"
)

// The settings of the services that take the place of the embedded parts.

// secret is where a secret is, never the secret itself: ${NAME} is the
// environment's variable, ${file:PATH} what is in the file.
type secret string

var secretReference = regexp.MustCompile(`^\$\{([^{}]+)\}$`)

func (s secret) check() error {
	if s != "" && !secretReference.MatchString(string(s)) {
		return errors.New("want ${NAME} for a variable of the environment or ${file:PATH}: secrets do not stand in configurations")
	}
	return nil
}

// read gives the secret; "" where none is configured.
func (s secret) read(field string) (string, error) {
	if s == "" {
		return "", nil
	}
	if err := s.check(); err != nil {
		return "", fmt.Errorf("config: %s: %w", field, err)
	}
	value, err := feed.Secret(secretReference.FindStringSubmatch(string(s))[1])
	if err == nil && value == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return "", fmt.Errorf("config: %s: %s: %w", field, s, err)
	}
	return value, nil
}

// secrets reads several at once; all that is wrong is in err.
type secrets struct{ err error }

func (r *secrets) read(field string, s secret) string {
	value, err := s.read(field)
	r.err = errors.Join(r.err, err)
	return value
}

type pubsubConfig struct {
	Endpoint      string              `yaml:"endpoint"` // host:port of one region's service; empty: the global one
	Encoding      string              `yaml:"encoding"` // of what is published: binary or json
	Live          string              `yaml:"live"`     // topics
	Backlog       string              `yaml:"backlog"`
	Removals      string              `yaml:"removals"`
	Enriched      string              `yaml:"enriched"`
	DeadLetters   string              `yaml:"dead_letters"`
	Subscriptions subscriptionsConfig `yaml:"subscriptions"` // each deployment its own
	Lease         time.Duration       `yaml:"lease"`         // after which a killed worker's episode comes back
	MaxExtension  time.Duration       `yaml:"max_extension"` // of a lease in all: longer than any episode takes
}

// subscriptionsConfig names what is read; empty: as its topic.
type subscriptionsConfig struct {
	Live        string `yaml:"live"`
	Backlog     string `yaml:"backlog"`
	Removals    string `yaml:"removals"`
	DeadLetters string `yaml:"dead_letters"`
}

type elasticsearchConfig struct {
	Username string        `yaml:"username"`
	Password secret        `yaml:"password"`
	APIKey   secret        `yaml:"api_key"` // the encoded form
	CAFile   string        `yaml:"ca_file"` // PEM; empty: the system's authorities
	Episodes string        `yaml:"episodes"`
	Segments string        `yaml:"segments"` // the aliases that searchers read
	Refresh  string        `yaml:"refresh"`  // when what was put can be found: wait_for (before it is acknowledged), true (at once), false (within refresh_interval)
	Timeout  time.Duration `yaml:"timeout"`  // of one request
	Shards   int           `yaml:"shards"`   // of new indices; 0: as the cluster has it
	Replicas int           `yaml:"replicas"`
}

// isElasticsearch tells whether storage.index is an address.
func (c *config) isElasticsearch() bool {
	return strings.HasPrefix(c.Storage.Index, "http://") || strings.HasPrefix(c.Storage.Index, "https://")
}

func (c *config) openElasticsearch() (*elastic.Index, error) {
	var r secrets
	e := c.Elasticsearch
	o := elastic.Options{
		URLs:     strings.FieldsFunc(c.Storage.Index, func(r rune) bool { return r == ',' || r == ' ' }),
		Username: e.Username,
		Password: r.read("elasticsearch.password", e.Password),
		APIKey:   r.read("elasticsearch.api_key", e.APIKey),
		CAFile:   e.CAFile,
		Episodes: e.Episodes,
		Segments: e.Segments,
		Refresh:  elastic.Refresh(e.Refresh),
		Timeout:  e.Timeout,
		Shards:   e.Shards,
		Replicas: e.Replicas,
	}
	if r.err != nil {
		return nil, exit(exitUsage, r.err)
	}
	return elastic.Open(o)
}

type cdnConfig struct {
	ManifestMaxAge time.Duration      `yaml:"manifest_max_age"` // in a manifest's Cache-Control
	ManifestStale  time.Duration      `yaml:"manifest_stale"`   // stale-while-revalidate
	CloudFront     []cloudfrontConfig `yaml:"cloudfront"`       // credentials are found as Amazon's tools find them
	Fastly         []fastlyConfig     `yaml:"fastly"`
	Akamai         []akamaiConfig     `yaml:"akamai"`
}

type cloudfrontConfig struct {
	Distribution string `yaml:"distribution"`
	Prefix       string `yaml:"prefix"`        // the path that viewers see the origin's root at
	RemovalsOnly bool   `yaml:"removals_only"` // new manifests are left to expire
	API          string `yaml:"api"`           // empty: Amazon's
}

type fastlyConfig struct {
	Token   secret   `yaml:"token"`
	URLs    []string `yaml:"urls"`    // public addresses of the origin's root
	Service string   `yaml:"service"` // its id: purge by surrogate key
	API     string   `yaml:"api"`     // empty: Fastly's
}

type akamaiConfig struct {
	Host         string   `yaml:"host"` // this and the next three are those of an .edgerc
	ClientToken  secret   `yaml:"client_token"`
	ClientSecret secret   `yaml:"client_secret"`
	AccessToken  secret   `yaml:"access_token"`
	URLs         []string `yaml:"urls"`    // public addresses of the origin's root
	Network      string   `yaml:"network"` // production or staging
	API          string   `yaml:"api"`     // empty: the host
}

// purger is an open driver.
type purger interface {
	origin.Purger
	Close()
}

// purgers are the CDNs in front of the origin. The caller closes them.
func (c *config) purgers(ctx context.Context) (all []purger, err error) {
	var errs []error
	add := func(field string, i int, p purger, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("config: cdn.%s[%d]: %w", field, i, err))
			return
		}
		all = append(all, p)
	}
	for i, f := range c.CDN.CloudFront {
		p, err := cloudfront.New(ctx, cloudfront.Options{Distribution: f.Distribution, Prefix: f.Prefix, RemovalsOnly: f.RemovalsOnly, API: f.API})
		add("cloudfront", i, p, err)
	}
	for i, f := range c.CDN.Fastly {
		var r secrets
		o := fastly.Options{Token: r.read(fmt.Sprintf("cdn.fastly[%d].token", i), f.Token), URLs: f.URLs, Service: f.Service, API: f.API}
		if r.err != nil {
			errs = append(errs, r.err)
			continue
		}
		p, err := fastly.New(o)
		add("fastly", i, p, err)
	}
	for i, f := range c.CDN.Akamai {
		var r secrets
		field := func(name string) string { return fmt.Sprintf("cdn.akamai[%d].%s", i, name) }
		o := akamai.Options{URLs: f.URLs, Network: f.Network, API: f.API, Credentials: akamai.Credentials{
			Host:         f.Host,
			ClientToken:  r.read(field("client_token"), f.ClientToken),
			ClientSecret: r.read(field("client_secret"), f.ClientSecret),
			AccessToken:  r.read(field("access_token"), f.AccessToken),
		}}
		if r.err != nil {
			errs = append(errs, r.err)
			continue
		}
		p, err := akamai.New(o)
		add("akamai", i, p, err)
	}
	return all, exit(exitUsage, errors.Join(errs...))
}

type feedsConfig struct {
	Lists        []string     `yaml:"lists"`         // files: an address a line, or OPML
	TakeLocked   bool         `yaml:"take_locked"`   // read feeds that say podcast:locked
	KeepVanished bool         `yaml:"keep_vanished"` // episodes that a feed drops without a word stay
	PerHost      int          `yaml:"per_host"`      // requests at once to one host
	Leader       leaderConfig `yaml:"leader"`        // which of several workers polls
}

type leaderConfig struct {
	Lease     string `yaml:"lease"`     // name of a Kubernetes Lease; empty: the lock of a file in the state folder
	Namespace string `yaml:"namespace"` // of the Lease; empty: the pod's own
}

// sources are the feeds of the lists and those of --feed.
func (c *config) feedSources(addresses []string) (all []feed.Source, err error) {
	all = feed.Public(addresses...)
	for _, path := range c.Feeds.Lists {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("config: feeds.lists: %w", err)
		}
		listed, err := feed.ReadList(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("config: feeds.lists: %s: %w", path, err)
		}
		all = append(all, listed...)
	}
	return all, nil
}

type apiConfig struct {
	Listen      string `yaml:"listen"`      // host:port; empty: no API
	Tokens      string `yaml:"tokens"`      // file of NAME:TOKEN or NAME:ROLE:TOKEN lines; without one nobody off this machine may change anything
	Certificate string `yaml:"certificate"` // PEM files for TLS
	Key         string `yaml:"key"`
	Clients     string `yaml:"clients"` // authorities that clients' certificates come from: mutual TLS
	ReadOnly    bool   `yaml:"read_only"`
}

type retentionConfig struct {
	Enclosures time.Duration `yaml:"enclosures"` // 0: for good
	Artifacts  time.Duration `yaml:"artifacts"`  // all other bytes; 0: for good
}

// checkServices reports what is wrong with these settings.
func (c *config) checkServices(bad func(path, format string, args ...any)) {
	for field, s := range map[string]secret{"elasticsearch.password": c.Elasticsearch.Password, "elasticsearch.api_key": c.Elasticsearch.APIKey} {
		if err := s.check(); err != nil {
			bad(field, "%v", err)
		}
	}
	for i, f := range c.CDN.Fastly {
		if err := f.Token.check(); err != nil {
			bad(fmt.Sprintf("cdn.fastly[%d].token", i), "%v", err)
		}
	}
	for i, f := range c.CDN.Akamai {
		for name, s := range map[string]secret{"client_token": f.ClientToken, "client_secret": f.ClientSecret, "access_token": f.AccessToken} {
			if err := s.check(); err != nil {
				bad(fmt.Sprintf("cdn.akamai[%d].%s", i, name), "%v", err)
			}
		}
	}
	if strings.Contains(c.Storage.Queue, "://") && c.pubsubProject() == "" {
		bad("storage.queue", "%q: want a SQLite file, or pubsub://PROJECT", c.Storage.Queue)
	}
	if c.isElasticsearch() {
		for _, address := range strings.Split(c.Storage.Index, ",") {
			if u, err := url.Parse(strings.TrimSpace(address)); err != nil || u.Host == "" {
				bad("storage.index", "it is no list of http or https addresses (they are not shown, since they may hold a password)")
			} else if u.User != nil {
				bad("storage.index", "credentials do not stand in addresses: elasticsearch.username, .password or .api_key say where they are")
			}
		}
	}
	for path, d := range map[string]time.Duration{
		"retention.enclosures": c.Retention.Enclosures, "retention.artifacts": c.Retention.Artifacts,
	} {
		if d < 0 {
			bad(path, "%v: want 0s (for good) or more", d)
		}
	}
	for path, d := range map[string]time.Duration{
		"cdn.manifest_max_age": c.CDN.ManifestMaxAge, "cdn.manifest_stale": c.CDN.ManifestStale, "elasticsearch.timeout": c.Elasticsearch.Timeout,
	} {
		if d < time.Second {
			bad(path, "%v: want 1s or more", d)
		}
	}
	if (c.API.Certificate == "") != (c.API.Key == "") {
		bad("api.certificate", "certificate and key go together")
	}
}
