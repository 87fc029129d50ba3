package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/workers"
)

// openTracing gives the tracer that OpenTelemetry's own environment variables
// ask for: one that exports by OTLP over HTTP where OTEL_EXPORTER_OTLP_ENDPOINT
// or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, else one that does nothing.
// OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES and OTEL_SDK_DISABLED are honoured.
func openTracing(ctx context.Context, worker string) (_ trace.Tracer, close func(context.Context) error, err error) {
	const name = "github.com/earshot-fm/earshot"
	off := os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none"
	if off || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return noop.NewTracerProvider().Tracer(name), func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("traces (OTEL_EXPORTER_OTLP_…): %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", worker), attribute.String("service.version", version)),
		resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithHost())
	if err != nil {
		return nil, nil, fmt.Errorf("traces (OTEL_RESOURCE_ATTRIBUTES): %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return provider.Tracer(name), func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // the collector may be away for long
		defer cancel()
		return provider.Shutdown(ctx)
	}, nil
}

// startDelivery begins the span of one delivery, linked to the publisher's: the
// publisher does not wait for it, so it is no child.
func startDelivery(ctx context.Context, tracer trace.Tracer, d workers.Delivery) (context.Context, trace.Span) {
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithTimestamp(d.Received),
		trace.WithAttributes(
			attribute.String("earshot.episode", string(d.Event.ID)),
			attribute.Int64("earshot.revision", int64(d.Event.Revision)),
			attribute.String("earshot.priority", string(d.Event.Priority)),
			attribute.Int("earshot.attempt", d.Attempt),
			attribute.Bool("earshot.removal", d.Removal != nil),
		),
	}
	carrier := propagation.MapCarrier{"traceparent": d.Traceparent}
	publisher := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
	if publisher.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: publisher}))
	}
	return tracer.Start(ctx, "earshot.delivery", options...)
}

// traceNodes makes a span of each node that ran, a child of ctx's.
func traceNodes(ctx context.Context, tracer trace.Tracer, report dag.Report) {
	for _, d := range report.Decisions {
		if d.Status != dag.Ran && d.Status != dag.Failed {
			continue
		}
		began := report.Started.Add(d.Queued)
		attributes := []attribute.KeyValue{
			attribute.String("earshot.node", d.Node),
			attribute.String("earshot.key", d.Key),
			attribute.String("earshot.reason", d.Reason),
		}
		for _, name := range []string{"model", "device", "items", "batch"} {
			if v, ok := d.Detail[name]; ok {
				attributes = append(attributes, attribute.String("earshot."+name, fmt.Sprint(v)))
			}
		}
		_, span := tracer.Start(ctx, d.Node, trace.WithTimestamp(began), trace.WithAttributes(attributes...))
		if d.Status == dag.Failed {
			span.SetStatus(codes.Error, d.Reason)
		}
		span.End(trace.WithTimestamp(began.Add(d.Ran)))
	}
}

// endDelivery ends a delivery's span with what came of it.
func endDelivery(span trace.Span, outcome workers.Outcome, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, "not done")
	} else {
		span.SetAttributes(attribute.String("earshot.outcome", string(outcome)))
	}
	span.End()
}
