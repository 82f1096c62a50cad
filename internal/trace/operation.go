package trace

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Kind is what an operation is; it is the name of its span.
type Kind string

// The kinds of operations. A job of the daemon is named by its own kind.
const (
	Backup  Kind = "backup"
	Restore Kind = "restore"
	Drill   Kind = "drill"
	Check   Kind = "check"
	Job     Kind = "job"

	Fingerprint Kind = "fingerprint"
)

// Operation is a piece of work that is traced. Its methods may be called from any goroutine.
type Operation struct {
	span trace.Span

	mu    sync.Mutex
	phase trace.Span // the one that runs; nil: none
}

// Begin begins an operation on source. What is begun with the context that it returns becomes a part of it: a restore
// within a drill is no trace of its own. End must follow.
func Begin(ctx context.Context, kind Kind, source string, attrs ...slog.Attr) (context.Context, *Operation) {
	t, ok := tracer(ctx)
	if !ok {
		return ctx, &Operation{span: trace.SpanFromContext(context.Background())}
	}
	ctx, span := t.Start(ctx, string(kind), trace.WithAttributes(attribute.String("backstay.source", source)), trace.WithAttributes(attributes(attrs)...))
	return ctx, &Operation{span: span}
}

// Phase ends the phase that runs, if one does, and begins the next. What is begun with the context that it returns
// becomes a part of the phase. ctx is that of Begin or of an earlier phase.
func (o *Operation) Phase(ctx context.Context, name string, attrs ...slog.Attr) context.Context {
	t, ok := tracer(ctx)
	if !ok {
		return ctx
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.endPhase(nil)
	ctx, o.phase = t.Start(trace.ContextWithSpan(ctx, o.span), name, trace.WithAttributes(attributes(attrs)...))
	return ctx
}

// Past adds to the operation or phase that ctx is in a phase that is over, from when to when.
func Past(ctx context.Context, name string, began, ended time.Time, attrs ...slog.Attr) {
	if t, ok := tracer(ctx); ok {
		_, span := t.Start(ctx, name, trace.WithTimestamp(began), trace.WithAttributes(attributes(attrs)...))
		span.End(trace.WithTimestamp(ended))
	}
}

// Set adds what became known of the operation, as its bytes.
func (o *Operation) Set(attrs ...slog.Attr) { o.span.SetAttributes(attributes(attrs)...) }

// End ends the operation and the phase that runs. An err that is context.Canceled interrupted it; any other failed it, and
// in the phase that runs.
func (o *Operation) End(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.endPhase(err)
	finish(o.span, err)
}

func (o *Operation) endPhase(err error) {
	if o.phase != nil {
		finish(o.phase, err)
		o.phase = nil
	}
}

func finish(span trace.Span, err error) {
	outcome := "done"
	switch {
	case errors.Is(err, context.Canceled):
		outcome = "interrupted"
	case err != nil:
		outcome = "failed"
		span.SetStatus(codes.Error, err.Error())
	}
	span.SetAttributes(attribute.String("backstay.outcome", outcome))
	span.End()
}

// ID is the id of the trace that ctx belongs to, in hexadecimal; empty if there is none.
func ID(ctx context.Context) string {
	if s := trace.SpanContextFromContext(ctx); s.HasTraceID() {
		return s.TraceID().String()
	}
	return ""
}

// attributes are attrs as OpenTelemetry keeps them, under the program's own prefix.
func attributes(attrs []slog.Attr) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(attrs))
	for _, a := range attrs {
		out = append(out, keyValue("backstay."+a.Key, a.Value.Resolve()))
	}
	return out
}

func keyValue(key string, v slog.Value) attribute.KeyValue {
	switch v.Kind() {
	case slog.KindInt64:
		return attribute.Int64(key, v.Int64())
	case slog.KindFloat64:
		return attribute.Float64(key, v.Float64())
	case slog.KindBool:
		return attribute.Bool(key, v.Bool())
	case slog.KindDuration:
		return attribute.Float64(key, v.Duration().Seconds())
	}
	return attribute.String(key, v.String())
}
