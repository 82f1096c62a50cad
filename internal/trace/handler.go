package trace

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// Handler gives records the ids of the span that their context is in, as trace_id and span_id, and hands them to inner.
// The ids stand at the top of a record, also where the logger has opened a group.
func Handler(inner slog.Handler) slog.Handler { return &handler{root: inner, current: inner} }

// handler keeps what was done to the logger since the root, because only at the root an attribute is outside all groups.
type handler struct {
	root, current slog.Handler
	grouped       bool
	steps         []func(slog.Handler) slog.Handler
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.current.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	s := trace.SpanContextFromContext(ctx)
	if !s.IsValid() {
		return h.current.Handle(ctx, r)
	}
	ids := []slog.Attr{slog.String("trace_id", s.TraceID().String()), slog.String("span_id", s.SpanID().String())}
	if !h.grouped {
		r = r.Clone()
		r.AddAttrs(ids...)
		return h.current.Handle(ctx, r)
	}
	out := h.root.WithAttrs(ids)
	for _, step := range h.steps {
		out = step(out)
	}
	return out.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) }, false)
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(func(to slog.Handler) slog.Handler { return to.WithGroup(name) }, true)
}

func (h *handler) with(step func(slog.Handler) slog.Handler, group bool) slog.Handler {
	steps := append(h.steps[:len(h.steps):len(h.steps)], step)
	return &handler{root: h.root, current: step(h.current), grouped: h.grouped || group, steps: steps}
}
