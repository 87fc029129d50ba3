// Package api is the central API: episodes in, and the index's answers out, for
// programs that speak Connect, gRPC, gRPC-Web or plain JSON over HTTP, all on one
// port. It keeps nothing itself: what is submitted goes to an inbox (a queue or a
// topic), what is asked is read from the index, and so any replica answers. Who
// may call is settled before a request is read: by bearer tokens where there are
// any, else only programs of this machine may change anything.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1/apiv1connect"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/message"
)

// Inbox takes what is to be done. When a method returns nil, its request is kept
// for good.
type Inbox interface {
	Publish(ctx context.Context, e episode.Event) error
	Remove(ctx context.Context, r episode.Removal) error
}

// Index is the part of index.Index that is asked here.
type Index interface {
	Get(ctx context.Context, id episode.ID) (index.Entry, error)
	Search(ctx context.Context, q index.Query) (index.Page, error)
}

// Options are the server's settings; the zero value of each is its default.
type Options struct {
	Index Index // needed
	Inbox Inbox // needed unless ReadOnly

	// Rejected says whether the edition is a dead letter, and why. It is asked at
	// each look of a Watch that waits. nil: a rejected edition is waited for until
	// the client goes.
	Rejected func(ctx context.Context, id episode.ID, revision episode.Revision) (reason string, rejected bool, err error)

	// Ready is the health that is told; nil: ready from the start.
	Ready func() error

	// Tokens say who may call. nil: anyone may read, and programs of this machine
	// may write where the listener is on loopback.
	Tokens *Tokens

	// Keys are for TLS; nil: none.
	Keys *Keys

	// ReadOnly refuses Submit and Remove, whoever calls.
	ReadOnly bool

	Calls       int // at once; zero: 256
	Watches     int // at once, each asks the index every PollMost; zero: 256
	Connections int // at once; zero: 1,024

	Timeout  time.Duration // of a call but Watch, and of one look of a Watch; zero: 30 s
	Patience time.Duration // for a client to send its request, or to take a piece of the answer; zero: 30 s
	Grace    time.Duration // calls may finish for this long after a stop; zero: 10 s

	PollFirst time.Duration // Watch's first pause between looks, which doubles; zero: 500 ms
	PollMost  time.Duration // its longest; zero: 5 s
	Heartbeat time.Duration // a Watch is silent for this long at most, but for one pause; zero: 15 s

	Now        func() time.Time                       // nil: time.Now
	After      func(d time.Duration) <-chan time.Time // nil: time.After
	Log        *slog.Logger                           // nil: discarded
	Registerer prometheus.Registerer                  // nil: no metrics are exported
}

func (o *Options) fillIn() {
	for _, n := range []struct {
		value *int
		usual int
	}{{&o.Calls, 256}, {&o.Watches, 256}, {&o.Connections, 1024}} {
		if *n.value <= 0 {
			*n.value = n.usual
		}
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&o.Timeout, 30 * time.Second}, {&o.Patience, 30 * time.Second}, {&o.Grace, 10 * time.Second},
		{&o.PollFirst, 500 * time.Millisecond}, {&o.PollMost, 5 * time.Second}, {&o.Heartbeat, 15 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Server answers the API.
type Server struct {
	options  Options
	metrics  *metrics
	mux      *http.ServeMux
	places   places
	draining chan struct{} // closed when the server stops
}

// New makes a server; Serve starts it.
func New(o Options) (*Server, error) {
	switch {
	case o.Index == nil:
		return nil, errors.New("api: there is no index to answer from")
	case o.Inbox == nil && !o.ReadOnly:
		return nil, errors.New("api: there is no inbox for what is submitted, and the server is not read-only")
	}
	o.fillIn()
	s := &Server{
		options: o, metrics: newMetrics(o.Registerer), mux: http.NewServeMux(), draining: make(chan struct{}),
		places: places{of(o.Calls), of(o.Watches), of(healthPlaces)},
	}
	common := []connect.HandlerOption{
		connect.WithInterceptors(recorder{}),
		connect.WithRecover(s.recovered),
		connect.WithReadMaxBytes(message.MaxBytes),
		connect.WithCompressMinBytes(1024),
	}
	s.mux.Handle(grpchealth.NewHandler(health{s}, common...))
	reflector := grpcreflect.NewStaticReflector(apiv1connect.EarshotName, grpchealth.HealthV1ServiceName)
	s.mux.Handle(grpcreflect.NewHandlerV1(reflector, common...))
	s.mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, common...))

	ours := append(common, codecs()...)
	safe := append(ours[:len(ours):len(ours)], connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	handle(s, apiv1connect.EarshotSubmitProcedure, s.submit, ours)
	handle(s, apiv1connect.EarshotRemoveProcedure, s.remove, ours)
	handle(s, apiv1connect.EarshotGetProcedure, s.get, safe)
	handle(s, apiv1connect.EarshotSearchProcedure, s.search, safe)
	s.mux.Handle(apiv1connect.EarshotWatchProcedure, connect.NewServerStreamHandlerSimple(apiv1connect.EarshotWatchProcedure, s.watch, ours...))
	return s, nil
}

// handle mounts one call. do gets a request that could be read.
func handle[Req, Res any](s *Server, procedure string, do func(context.Context, *Req) (*Res, error), options []connect.HandlerOption) {
	s.mux.Handle(procedure, connect.NewUnaryHandlerSimple(procedure, func(ctx context.Context, in *arrived[Req]) (*Res, error) {
		if in.fault != nil {
			return nil, invalid("", in.fault)
		}
		return do(ctx, &in.message)
	}, options...))
}

// health tells load balancers whether to send anything here.
type health struct{ server *Server }

// Check implements grpchealth.Checker.
func (h health) Check(_ context.Context, r *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if r.Service != "" && r.Service != apiv1connect.EarshotName {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such service"))
	}
	select {
	case <-h.server.draining:
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	default:
	}
	if ready := h.server.options.Ready; ready != nil {
		if err := ready(); err != nil {
			return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
		}
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}
