package api

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1/apiv1connect"
)

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
