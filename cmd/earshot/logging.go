package main

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"github.com/earshot-fm/earshot/dag"
)

// log is where commands say what happens beside their output.
func (a *app) log() *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelWarn}
	if a.verbose {
		o.Level = slog.LevelInfo
	}
	var h slog.Handler = slog.NewTextHandler(a.err, o)
	if a.logFormat == "json" {
		h = slog.NewJSONHandler(a.err, o)
	}
	return slog.New(subjectHandler{h})
}

type subjectKey struct{}

// withSubject has each line that is logged under ctx say what it is about.
func withSubject(ctx context.Context, about ...slog.Attr) context.Context {
	return context.WithValue(ctx, subjectKey{}, about)
}

// subjectHandler adds to each line the subject and the trace of its context.
type subjectHandler struct{ slog.Handler }

func (h subjectHandler) Handle(ctx context.Context, r slog.Record) error {
	if about, ok := ctx.Value(subjectKey{}).([]slog.Attr); ok {
		r.AddAttrs(about...)
	}
	if s := trace.SpanContextFromContext(ctx); s.IsValid() {
		r.AddAttrs(slog.String("trace_id", s.TraceID().String()), slog.String("span_id", s.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h subjectHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return subjectHandler{h.Handler.WithAttrs(attrs)}
}

func (h subjectHandler) WithGroup(name string) slog.Handler {
	return subjectHandler{h.Handler.WithGroup(name)}
}

// logNodes gives an observer that logs each node's end under ctx.
func logNodes(ctx context.Context, log *slog.Logger) func(dag.Event) {
	return func(e dag.Event) {
		switch {
		case e.Kind != dag.Stopped:
		case e.Err != nil:
			log.WarnContext(ctx, "node ended", "node", e.Node, "error", e.Err)
		default:
			log.InfoContext(ctx, "node ended", "node", e.Node)
		}
	}
}
