package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/workers/api"
)

// endpoint is the central API, ready to serve.
type endpoint struct {
	server   *api.Server
	listener net.Listener
	tokens   *api.Tokens // nil: none
	keys     *api.Keys   // nil: no TLS
}

// openAPI listens where the configuration says; nil: it has no API.
func (c *config) openAPI(x api.Index, in api.Inbox, ready func() error, registry prometheus.Registerer, log *slog.Logger) (*endpoint, error) {
	o := c.API
	if o.Listen == "" {
		return nil, nil
	}
	e := &endpoint{}
	var err error
	if o.Tokens != "" {
		if e.tokens, err = api.OpenTokens(o.Tokens); err != nil {
			return nil, exit(exitUsage, fmt.Errorf("config: api.tokens: %w", err))
		}
	}
	if o.Certificate != "" {
		if e.keys, err = api.OpenKeys(o.Certificate, o.Key, o.Clients); err != nil {
			return nil, exit(exitUsage, fmt.Errorf("config: api.certificate: %w", err))
		}
	}
	e.server, err = api.New(api.Options{
		Index: x, Inbox: in, Ready: ready, Tokens: e.tokens, Keys: e.keys, ReadOnly: o.ReadOnly, Log: log, Registerer: registry,
	})
	if err != nil {
		return nil, err
	}
	if e.listener, err = net.Listen("tcp", o.Listen); err != nil {
		return nil, exit(exitUsage, fmt.Errorf("config: api.listen: %w", err))
	}
	log.Info("the API answers", "address", e.listener.Addr().String())
	return e, nil
}

func (e *endpoint) serve(ctx context.Context) error { return e.server.Serve(ctx, e.listener) }

// reload reads tokens and keys again.
func (e *endpoint) reload() error {
	if e == nil {
		return nil
	}
	var errs []error
	if e.tokens != nil {
		errs = append(errs, e.tokens.Reload())
	}
	if e.keys != nil {
		errs = append(errs, e.keys.Reload())
	}
	return errors.Join(errs...)
}

func newAPI(a *app) *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "api",
		Short: "Answer the central API, without working on episodes: submit, remove, get, watch, search",
		Long: `Answer the central API, without working on episodes: submit, remove, get, watch,
search, as Connect, gRPC, gRPC-Web and JSON on one port (docs/api.md). What is
submitted goes to the queue or the topic, what is asked is read from the index, so
any number of these may run. 'earshot stream' answers it too, where api.listen is
configured. SIGHUP reads tokens and certificates again.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			ctx := cmd.Context()
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP)
			defer signal.Stop(reload)
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			if listen != "" {
				cfg.API.Listen = listen
			}
			if cfg.API.Listen == "" {
				return exit(exitUsage, errors.New("api: say where to listen, by --listen or api.listen in the configuration"))
			}
			state, err := a.stateFolder()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(state, 0o755); err != nil {
				return fmt.Errorf("state folder: %w", err)
			}
			l := cfg.layout(state)
			x, err := cfg.openIndex(ctx, l)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, x.Close()) }()
			m, err := cfg.openMessaging(ctx, l, a.log())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, m.closers.close(context.WithoutCancel(ctx))) }()
			h := &health{device: func() error { return nil }, now: time.Now, sinks: map[string]func(context.Context) error{
				"index":    func(ctx context.Context) error { return answers(ctx, x) },
				"messages": m.reach,
			}}
			registry := prometheus.NewRegistry()
			e, err := cfg.openAPI(x, m, func() error { return h.ready(ctx) }, registry, a.log())
			if err != nil {
				return err
			}
			if err := m.closers.serveOperator(cfg.Operator.Listen, h.port(registry), a.log()); err != nil {
				return errors.Join(err, e.listener.Close())
			}
			defer context.AfterFunc(ctx, func() { h.draining.Store(true) })()
			fmt.Fprintln(a.out, "answering at", e.listener.Addr())
			ctx, stop := context.WithCancel(ctx)
			defer stop()
			wait := onSignal(ctx, reload, func() {
				if err := e.reload(); err != nil {
					a.log().Error("tokens and certificates stay as they were", "error", err)
				}
			})
			err = e.serve(ctx)
			stop()
			wait()
			return err
		},
	}
	c.Flags().StringVar(&listen, "listen", "", "host:port (default: api.listen of the configuration)")
	return c
}

// onSignal calls do for each signal until ctx ends; what it returns waits for
// that.
func onSignal(ctx context.Context, signals <-chan os.Signal, do func()) (wait func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
				do()
			}
		}
	}()
	return func() { <-ended }
}
