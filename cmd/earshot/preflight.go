package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/earshot-fm/earshot/audio/codec"
	"github.com/earshot-fm/earshot/workers/origin/bucket"
)

// finding is what an inspection of preflight came to.
type finding struct {
	Of     string   `json:"of"`
	Faults []string `json:"faults"` // none: it is good
	Notes  []string `json:"notes,omitempty"`
}

// inspection looks at one thing that a worker needs. None depends on another:
// one run names every fault.
type inspection struct {
	name string
	look func(ctx context.Context) (notes []string, err error)
}

// preflightTimeout bounds an inspection: a service that hangs is a fault as well.
const preflightTimeout = 30 * time.Second

func newPreflight(a *app) *cobra.Command {
	var create bool
	c := &cobra.Command{
		Use:   "preflight",
		Short: "Check all that a worker needs, and name every fault at once",
		Long: `Check all that a worker needs, and name every fault at once: the configuration,
its graph and models, the native parts, the devices, the services and what this
process may do there.

With --create, topics, subscriptions, schemas and indices that are missing are
made.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, configErr := a.loadConfig()
			state, err := a.stateFolder()
			if err != nil {
				return err
			}
			inspections := append([]inspection{{"configuration", func(context.Context) ([]string, error) { return nil, configErr }}},
				a.inspections(&cfg, state, create)...)
			findings := preflight(cmd.Context(), inspections)
			if a.format == "json" {
				if err := a.json(findings); err != nil {
					return err
				}
			} else {
				printFindings(a, findings)
			}
			n := 0
			for _, f := range findings {
				n += len(f.Faults)
			}
			if n > 0 {
				return exit(exitMissingPart, fmt.Errorf("preflight: %d %s", n, plural(n, "fault")))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&create, "create", false, "make the topics, subscriptions, schemas and indices that are missing")
	a.modelsFlag(c)
	a.devicesFlag(c)
	return c
}

// preflight runs the inspections side by side and gives what they found, in order.
func preflight(ctx context.Context, inspections []inspection) []finding {
	findings := make([]finding, len(inspections))
	var looking sync.WaitGroup
	for i, in := range inspections {
		looking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
			defer cancel()
			notes, err := in.look(ctx)
			findings[i] = finding{Of: in.name, Faults: faultsOf(err), Notes: notes}
		})
	}
	looking.Wait()
	return findings
}

// faultsOf takes a joined error apart; what was written around it goes to each.
func faultsOf(err error) (faults []string) {
	if err == nil {
		return []string{}
	}
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		return []string{err.Error()}
	}
	var parts []string
	for _, e := range joined.Unwrap() {
		parts = append(parts, e.Error())
	}
	around, whole := strings.CutSuffix(err.Error(), joined.Error())
	if !whole || joined.Error() != strings.Join(parts, "\n") { // one fault that wraps several errors
		return []string{err.Error()}
	}
	for _, e := range joined.Unwrap() {
		for _, fault := range faultsOf(e) {
			faults = append(faults, around+fault)
		}
	}
	return faults
}

func printFindings(a *app, findings []finding) {
	for _, f := range findings {
		verdict := "ok   "
		if len(f.Faults) > 0 {
			verdict = "FAULT"
		}
		fmt.Fprintf(a.out, "%s  %s\n", verdict, f.Of)
		for _, text := range append(f.Faults, f.Notes...) {
			fmt.Fprintf(a.out, "         %s\n", strings.ReplaceAll(text, "\n", "\n         "))
		}
	}
}

// inspections are those that the configuration calls for.
func (a *app) inspections(c *config, state string, create bool) []inspection {
	l := c.layout(state)
	inspections := []inspection{
		{"graph and models", func(context.Context) ([]string, error) {
			catalog, err := c.catalog()
			if err != nil {
				return nil, err
			}
			_, err = c.spec(catalog)
			return nil, err
		}},
		{"codecs", func(context.Context) ([]string, error) {
			d, err := codec.NewDecoder(codec.Options{})
			if err != nil {
				return nil, err
			}
			_, err = codec.NewEncoder(d)
			return nil, err
		}},
		{"devices", func(ctx context.Context) ([]string, error) {
			h, err := openHardware(ctx, c.Device, a.probers, func(string) string { return "" })
			if err != nil {
				return nil, err
			}
			return h.notes, h.close()
		}},
		{"state folder", func(context.Context) ([]string, error) { return nil, writableFolder(state) }},
		{"artifacts", func(ctx context.Context) ([]string, error) { return nil, writableBucket(ctx, l.artifacts) }},
		{"origin", func(ctx context.Context) ([]string, error) { return nil, writableBucket(ctx, l.origin) }},
	}
	if c.Operator.Listen != "" {
		inspections = append(inspections, inspection{"operator port", func(context.Context) ([]string, error) { return nil, free(c.Operator.Listen) }})
	}
	return append(inspections, c.serviceInspections(create, a.log())...)
}

func writableFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "preflight-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// writableBucket does there what a worker does: it writes an object that must
// not be there, is refused the second time, reads it and deletes it.
func writableBucket(ctx context.Context, address string) (err error) {
	s, err := bucket.Open(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	name := "preflight/" + rand.Text()
	once := &blob.WriterOptions{IfNotExist: true}
	if err := s.Bucket.WriteAll(ctx, name, []byte(name), once); err != nil {
		return fmt.Errorf("%s: write: %w", address, err)
	}
	var faults []error
	if err := s.Bucket.WriteAll(ctx, name, []byte("other"), once); gcerrors.Code(err) != gcerrors.FailedPrecondition {
		faults = append(faults, fmt.Errorf("%s: an object that is there is overwritten although the write forbids it (%v): workers at once would not agree", address, err))
	}
	if b, err := s.Bucket.ReadAll(ctx, name); err != nil {
		faults = append(faults, fmt.Errorf("%s: read: %w", address, err))
	} else if string(b) != name && len(faults) == 0 {
		faults = append(faults, fmt.Errorf("%s: what was written does not come back", address))
	}
	if err := s.Bucket.Delete(ctx, name); err != nil {
		faults = append(faults, fmt.Errorf("%s: delete: %w", address, err))
	}
	return errors.Join(faults...)
}

// free tells whether a worker could listen there now.
func free(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}
