package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1/apiv1connect"
)

// kind is what a call asks for, as far as it matters to who may call and how
// many at once.
type kind int

const (
	reading kind = iota
	writing
	watching
	probing // health
)

func kindOf(procedure string) kind {
	switch {
	case procedure == apiv1connect.EarshotSubmitProcedure, procedure == apiv1connect.EarshotRemoveProcedure:
		return writing
	case procedure == apiv1connect.EarshotWatchProcedure:
		return watching
	case strings.HasPrefix(procedure, "/"+grpchealth.HealthV1ServiceName+"/"):
		return probing
	default:
		return reading
	}
}

// places bound how much is under way. Health has its own, so that a busy server
// is not taken for a dead one.
type places struct{ calls, watches, health chan struct{} }

const healthPlaces = 64

func of(n int) chan struct{} { return make(chan struct{}, n) }

func (p *places) of(k kind) chan struct{} {
	switch k {
	case watching:
		return p.watches
	case probing:
		return p.health
	default:
		return p.calls
	}
}

// takeAll waits until nothing is under way, and keeps it so.
func (p *places) takeAll() {
	for _, c := range []chan struct{}{p.calls, p.watches, p.health} {
		for range cap(c) {
			c <- struct{}{}
		}
	}
}

// call is one request on its way, for the log and the metrics.
type call struct {
	caller   string       // the token's name
	refused  string       // why, where it was not admitted
	allowed  func() error // still; nil: for ever
	code     string       // how it ended, where the handler was reached
	episode  episode.ID
	revision episode.Revision
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	if c == nil {
		return new(call)
	}
	return c
}

// note has the log say which episode a call is about.
func note(ctx context.Context, id episode.ID, revision episode.Revision) {
	if checkID(string(id)) == nil {
		c := callOf(ctx)
		c.episode, c.revision = id, revision
	}
}

// stillAllowed is an error once the call's token is gone.
func stillAllowed(ctx context.Context) error {
	if c := callOf(ctx); c.allowed != nil {
		return c.allowed()
	}
	return nil
}

// front is what each request meets first.
type front struct {
	*Server
	local  bool // only programs of this machine can reach the listener
	unix   bool // by a path, not an address
	errors *connect.ErrorWriter
	pages  *http.CrossOriginProtection
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began, k := time.Now(), kindOf(r.URL.Path)
	c, out := new(call), patient(w, r, f.options.Patience)
	defer func() { f.record(r, k, c, out.status, time.Since(began)) }()
	refuse := func(err *connect.Error) {
		c.code = err.Code().String()
		// The client may be gone; there is nobody else to tell.
		_ = f.errors.Write(out, r, err)
	}
	place := f.places.of(k)
	select {
	case place <- struct{}{}:
		defer func() { <-place }()
	default:
		refuse(later(connect.CodeResourceExhausted, "too many calls at once; try again"))
		return
	}
	r.Body = out.receive(r.Body)
	if err := f.admit(r, k, c); err != nil {
		if err.Code() == connect.CodeUnauthenticated {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		c.refused = err.Message()
		refuse(err)
		return
	}
	ctx := context.WithValue(r.Context(), callKey{}, c)
	if k != watching {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.options.Timeout)
		defer cancel()
	}
	f.mux.ServeHTTP(out, r.WithContext(ctx))
}

// admit says whether the request may be served, before any of it is read. Off
// loopback nothing is changed without tokens. On loopback without tokens any
// program of this machine may call, but not another's page in its browser: a
// page's own address shows in Origin, or in Host where its name was pointed here.
func (f *front) admit(r *http.Request, k kind, c *call) *connect.Error {
	switch {
	case k == probing:
		return nil
	case f.options.Tokens != nil:
		if err := f.authenticate(r, k, c); err != nil {
			return err
		}
	case f.local && !f.unix && !ownName(r.Host):
		return connect.NewError(connect.CodePermissionDenied, errors.New("without tokens this server answers under localhost and loopback addresses only"))
	case f.pages.Check(r) != nil:
		return connect.NewError(connect.CodePermissionDenied, errors.New("without tokens this server answers no pages of other sites"))
	case k == writing && !f.local:
		return connect.NewError(connect.CodePermissionDenied, errors.New("this server is read-only: it listens off loopback, and takes changes there only with a token of role write"))
	}
	if k == writing && f.options.ReadOnly {
		return connect.NewError(connect.CodePermissionDenied, errors.New("this server is read-only"))
	}
	return nil
}

func (f *front) authenticate(r *http.Request, k kind, c *call) *connect.Error {
	hash, brought := bearer(r.Header)
	if !brought {
		return connect.NewError(connect.CodeUnauthenticated, errors.New("a token is needed: Authorization: Bearer TOKEN"))
	}
	gone := connect.NewError(connect.CodeUnauthenticated, errors.New("the token is none of this server's"))
	g, known := f.options.Tokens.find(hash)
	if !known {
		return gone
	}
	c.caller = g.name
	if k == writing && g.role != Write {
		return connect.NewError(connect.CodePermissionDenied, errors.New("the token is only for reading"))
	}
	c.allowed = func() error {
		if _, known := f.options.Tokens.find(hash); !known {
			return gone
		}
		return nil
	}
	return nil
}

func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// method is a call's name in log and metrics; what nobody asks for has one name.
func method(r *http.Request) string {
	switch service := strings.TrimPrefix(path.Dir(r.URL.Path), "/"); service {
	case apiv1connect.EarshotName:
		switch m := path.Base(r.URL.Path); m {
		case "Submit", "Remove", "Get", "Watch", "Search":
			return m
		}
	case grpchealth.HealthV1ServiceName:
		return "health"
	case "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection":
		return "reflection"
	}
	return "other"
}

// unread is the code of a request that connect could not read, and so answered
// itself.
const unread = "unread"

func (f *front) record(r *http.Request, k kind, c *call, status int, took time.Duration) {
	switch {
	case c.code == "" && status == http.StatusNotFound:
		c.code = connect.CodeNotFound.String()
	case c.code == "":
		c.code = unread
	}
	name := method(r)
	f.metrics.requests.WithLabelValues(name, c.code).Inc()
	if k != watching {
		f.metrics.seconds.WithLabelValues(name).Observe(took.Seconds())
	}
	level, text := slog.LevelInfo, "api: call"
	switch {
	case c.refused != "":
		level, text = slog.LevelWarn, "api: refused"
	case k == probing:
		level = slog.LevelDebug
	}
	attributes := []slog.Attr{slog.String("method", name), slog.String("code", c.code), slog.Duration("took", took), slog.String("remote", r.RemoteAddr)}
	if c.refused != "" {
		attributes = append(attributes, slog.String("why", c.refused))
	}
	if c.caller != "" {
		attributes = append(attributes, slog.String("caller", c.caller))
	}
	if c.episode != "" {
		attributes = append(attributes, slog.String("episode", string(c.episode)))
	}
	if c.revision != 0 {
		attributes = append(attributes, slog.Int64("revision", int64(c.revision)))
	}
	f.options.Log.LogAttrs(r.Context(), level, text, attributes...)
}

// recorder notes how a call that reached its handler ended.
type recorder struct{}

func (recorder) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		answer, err := next(ctx, r)
		callOf(ctx).ended(err)
		return answer, err
	}
}

func (recorder) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (recorder) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		err := next(ctx, conn)
		callOf(ctx).ended(err)
		return err
	}
}

func (c *call) ended(err error) {
	c.code = "ok"
	if err != nil {
		c.code = connect.CodeOf(err).String()
	}
}
