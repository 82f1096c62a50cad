package trace

import (
	"context"
)

// flush sends what waits.
func flush(ctx context.Context) error {
	t, _ := tracer(ctx)
	_, span := t.Start(ctx, "flush")
	return span.TracerProvider().(interface{ ForceFlush(context.Context) error }).ForceFlush(ctx)
}
