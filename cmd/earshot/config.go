package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/workers/index/elastic"
	"github.com/earshot-fm/earshot/workers/message"
)

// config is the whole configuration: a YAML document, strictly decoded over
// the defaults.
type config struct {
	Generation episode.Generation `yaml:"generation"`
	Models     modelsConfig       `yaml:"models"`
	Device     deviceConfig       `yaml:"device"`
	Fetch      fetchConfig        `yaml:"fetch"`
	Storage    storageConfig      `yaml:"storage"`
	Retention  retentionConfig    `yaml:"retention"` // of what 'origin gc' deletes

	PubSub        pubsubConfig        `yaml:"pubsub"`
	Elasticsearch elasticsearchConfig `yaml:"elasticsearch"`
	CDN           cdnConfig           `yaml:"cdn"`
	Feeds         feedsConfig         `yaml:"feeds"`
	API           apiConfig           `yaml:"api"`
	Worker        workerConfig        `yaml:"worker"`
	Operator      operatorConfig      `yaml:"operator"`
	Graph         yaml.Node           `yaml:"graph"`

	chosen []string // --models: folders whose models take over the nodes of their tasks
	added  string   // folder that 'models add' fills

	untilEmpty bool          // stream --until-empty
	standIn    time.Duration // stream --stand-in; 0: the real thing

	now func() time.Time // nil: time.Now; tests have it jump
}

type modelsConfig struct {
	Folders []string `yaml:"folders"` // each is a model's folder or holds some, beside the built-in pack and what 'models add' added
	Hub     string   `yaml:"hub"`     // address of the model hub that 'models add NAME' asks for files
}

type deviceConfig struct {
	Kind         string        `yaml:"kind"`          // auto: GPUs where they serve, else the CPU; cpu; cuda
	GPUs         []string      `yaml:"gpus"`          // UUIDs of those to use; none: all of the first one's kind
	Leases       int           `yaml:"leases"`        // batches that run at a time on a device; 0: one a core, one on a GPU
	MemoryBytes  int64         `yaml:"memory_bytes"`  // of each device, for models; 0: what the cgroup or the machine, or the GPU, has beside other users
	ReserveBytes int64         `yaml:"reserve_bytes"` // of that, for what is not foreseen; 0: a twentieth, a GiB at most
	WarmUp       string        `yaml:"warm_up"`       // when models are measured that have no profile yet: auto (on GPUs; on the CPU where memory is short), always, never
	BatchWait    time.Duration `yaml:"batch_wait"`    // how long a live item may wait for its batch to fill; one of the backlog ten times as long
}

type fetchConfig struct {
	MaxBytes     int64         `yaml:"max_bytes"`
	Timeout      time.Duration `yaml:"timeout"`
	Contact      string        `yaml:"contact"`       // in the User-Agent: a URL or an address
	AllowPrivate []string      `yaml:"allow_private"` // prefixes of private addresses that may be asked
	LocalFiles   bool          `yaml:"local_files"`   // events may name file:// addresses
	MaxDuration  time.Duration `yaml:"max_duration"`  // of an episode
}

type storageConfig struct {
	Artifacts string `yaml:"artifacts"` // a folder, or file:// gs:// s3:// address; default: below the state folder
	Origin    string `yaml:"origin"`
	Index     string `yaml:"index"` // a SQLite file, or http:// or https:// addresses of Elasticsearch
	Queue     string `yaml:"queue"` // a SQLite file, or pubsub://PROJECT
}

type workerConfig struct {
	Name          string        `yaml:"name"`           // this deployment's: in the audit log, and what an event's recipients name
	Slots         int           `yaml:"slots"`          // episodes at a time; 0: as memory and cores allow
	BacklogSlots  int           `yaml:"backlog_slots"`  // beside these, of the backlog's subscription; 0: half as many
	Grace         time.Duration `yaml:"grace"`          // for running episodes after SIGTERM
	MaxFailures   int           `yaml:"max_failures"`   // that make a dead letter
	MaxDeliveries int           `yaml:"max_deliveries"` // without an end (crashes) that make one; 0: 25, and 90 on Pub/Sub, which counts what outages end too
	Visibility    time.Duration `yaml:"visibility"`     // after which a killed worker's episode comes back
	PollEvery     time.Duration `yaml:"poll_every"`     // of each feed
}

type operatorConfig struct {
	Listen string `yaml:"listen"` // host:port of /livez, /readyz, /metrics, /devices and /debug/pprof; empty: only the socket in the state folder has them
}

func defaultConfig() config {
	return config{
		Generation:    1,
		Retention:     retentionConfig{Enclosures: 7 * 24 * time.Hour},
		PubSub:        pubsubConfig{Encoding: string(message.Binary), Live: "earshot-live", Backlog: "earshot-backlog", Removals: "earshot-removals", Enriched: "earshot-enriched", DeadLetters: "earshot-dead-letters", Lease: time.Minute, MaxExtension: 24 * time.Hour},
		Elasticsearch: elasticsearchConfig{Episodes: "episodes", Segments: "segments", Refresh: string(elastic.Wait), Timeout: 30 * time.Second},
		CDN:           cdnConfig{ManifestMaxAge: time.Minute, ManifestStale: time.Minute},
		Feeds:         feedsConfig{PerHost: 1},
		Device:        deviceConfig{Kind: devicesAuto, WarmUp: warmUpAuto, BatchWait: 5 * time.Millisecond},
		Fetch:         fetchConfig{MaxBytes: 2 << 30, Timeout: 30 * time.Minute, Contact: "https://github.com/earshot-fm/earshot", MaxDuration: 24 * time.Hour},
		Worker:        workerConfig{Name: "earshot", Grace: 5 * time.Minute, MaxFailures: 5, Visibility: time.Minute, PollEvery: 5 * time.Minute},
	}
}

// clock is what all goes by that asks for the time of day.
func (c *config) clock() func() time.Time {
	if c.now != nil {
		return c.now
	}
	return time.Now
}

// loadConfig reads the configuration, or the defaults where there is no file.
func (a *app) loadConfig() (config, error) {
	c, err := a.readConfig()
	c.chosen = a.models
	if a.devicesKind != "" {
		if !knownDevices(a.devicesKind) {
			return c, exit(exitUsage, fmt.Errorf("--devices %q: want auto, cpu or cuda", a.devicesKind))
		}
		c.Device.Kind = a.devicesKind
	}
	c.added, _ = a.addedModels() // without a home there is none, which is told where a state is needed
	return c, err
}

func (a *app) readConfig() (config, error) {
	c := defaultConfig()
	if a.configPath != "" {
		b, err := os.ReadFile(a.configPath)
		if err != nil {
			return c, exit(exitUsage, fmt.Errorf("config: %w", err))
		}
		if c, err = parseConfig(b); err != nil {
			return c, exit(exitUsage, fmt.Errorf("%s: %w", a.configPath, err))
		}
	}
	return c, nil
}

func parseConfig(b []byte) (config, error) {
	c := defaultConfig()
	if _, err := models.DecodeStrict(b, &c); err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	return c, c.check()
}

func (c *config) check() error {
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf("config: %s: %s", path, fmt.Sprintf(format, args...)))
	}
	if c.Generation < 1 {
		bad("generation", "%d: want 1 or more", c.Generation)
	}
	if !knownDevices(c.Device.Kind) {
		bad("device.kind", "%q: want auto, cpu or cuda", c.Device.Kind)
	}
	if !slices.Contains([]string{warmUpAuto, warmUpAlways, warmUpNever}, c.Device.WarmUp) {
		bad("device.warm_up", "%q: want auto, always or never", c.Device.WarmUp)
	}
	if c.Device.Leases < 0 {
		bad("device.leases", "%d: want 0 (one a core, one on a GPU) or more", c.Device.Leases)
	}
	if c.Device.ReserveBytes < 0 {
		bad("device.reserve_bytes", "%d: want 0 (a twentieth) or more", c.Device.ReserveBytes)
	}
	if c.Device.MemoryBytes < 0 {
		bad("device.memory_bytes", "%d: want 0 (all there is) or more", c.Device.MemoryBytes)
	}
	if c.Device.BatchWait < 0 || c.Device.BatchWait > time.Minute {
		bad("device.batch_wait", "%v: want up to a minute", c.Device.BatchWait)
	}
	if c.Worker.Slots < 0 {
		bad("worker.slots", "%d: want 0 (as memory and cores allow) or more", c.Worker.Slots)
	}
	if c.Worker.BacklogSlots < 0 {
		bad("worker.backlog_slots", "%d: want 0 (half of worker.slots) or more", c.Worker.BacklogSlots)
	}
	if c.Worker.PollEvery < time.Second {
		bad("worker.poll_every", "%v: want 1s or more, to be polite to publishers", c.Worker.PollEvery)
	}
	if c.Worker.Grace <= 0 {
		bad("worker.grace", "%v: want more than 0s", c.Worker.Grace)
	}
	if c.Worker.Visibility < time.Second {
		bad("worker.visibility", "%v: want 1s or more", c.Worker.Visibility)
	}
	if c.Worker.MaxFailures < 1 {
		bad("worker.max_failures", "%d: want 1 or more", c.Worker.MaxFailures)
	}
	if c.Worker.MaxDeliveries < 0 {
		bad("worker.max_deliveries", "%d: want 0 (25, and 90 on Pub/Sub) or more", c.Worker.MaxDeliveries)
	}
	if c.Fetch.Timeout < time.Second {
		bad("fetch.timeout", "%v: want 1s or more", c.Fetch.Timeout)
	}
	if c.Fetch.MaxDuration < time.Second {
		bad("fetch.max_duration", "%v: want 1s or more", c.Fetch.MaxDuration)
	}
	if u, err := url.Parse(c.Models.Hub); c.Models.Hub != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		bad("models.hub", "%q is no http or https address", c.Models.Hub)
	}
	for _, s := range []struct{ field, place string }{{"artifacts", c.Storage.Artifacts}, {"origin", c.Storage.Origin}} {
		if scheme, _, ok := strings.Cut(s.place, "://"); ok && !slices.Contains([]string{"file", "gs", "s3"}, scheme) {
			bad("storage."+s.field, "%q: want a folder, or a file://, gs:// or s3:// address", s.place)
		}
	}
	if c.Fetch.MaxBytes < 1 {
		bad("fetch.max_bytes", "%d: want 1 or more", c.Fetch.MaxBytes)
	}
	for i, p := range c.Fetch.AllowPrivate {
		if _, err := netip.ParsePrefix(p); err != nil {
			bad(fmt.Sprintf("fetch.allow_private[%d]", i), "%q is no prefix such as 10.0.0.0/8", p)
		}
	}
	c.checkServices(bad)
	return errors.Join(errs...)
}

// print writes the configuration in force as YAML.
func (c config) print(w io.Writer) error {
	if c.Graph.Kind == 0 {
		var doc yaml.Node
		if err := yaml.Unmarshal(enrich.DefaultGraph, &doc); err != nil {
			return err
		}
		c.Graph = *doc.Content[0]
	}
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(c); err != nil {
		return err
	}
	return e.Close()
}

// addedModels is the folder that 'models add' fills.
func (a *app) addedModels() (string, error) {
	state, err := a.stateFolder()
	return filepath.Join(state, "models"), err
}

// stateFolder is where the embedded parts keep what they hold.
func (a *app) stateFolder() (string, error) {
	if a.state != "" {
		return filepath.Abs(a.state)
	}
	if d := os.Getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "earshot"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", exit(exitUsage, fmt.Errorf("no folder for the state: %w; give --state DIR", err))
	}
	return filepath.Join(home, ".local", "share", "earshot"), nil
}

func newConfig(a *app) *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check or print the configuration"}
	c.AddCommand(&cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration file, its graph and its models",
		Args:  args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, files []string) error {
			if len(files) == 1 {
				a.configPath = files[0]
			}
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			catalog, err := cfg.catalog()
			if err != nil {
				return exit(exitUsage, err)
			}
			if _, err := cfg.spec(catalog); err != nil {
				return exit(exitUsage, err)
			}
			fmt.Fprintln(a.out, "the configuration is good")
			return nil
		},
	}, &cobra.Command{
		Use:   "print",
		Short: "Print the configuration in force, defaults included",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			return cfg.print(a.out)
		},
	})
	return c
}
