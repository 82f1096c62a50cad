package trace

import (
	"context"
	"log/slog"
	"sync/atomic"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// reporter logs the beginning and the end of an outage of the collector, instead of each batch that is lost in it.
type reporter struct {
	sdk.SpanExporter
	log     *slog.Logger
	failing atomic.Bool
}

// ExportSpans implements sdk.SpanExporter. Its error would go to a handler of the whole process, so there is none.
func (r *reporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !r.failing.Swap(true):
		r.log.LogAttrs(ctx, slog.LevelWarn, "traces are not delivered", slog.String("error", err.Error()))
	case err == nil && r.failing.Swap(false):
		r.log.LogAttrs(ctx, slog.LevelInfo, "traces are delivered again")
	}
	return nil
}
