package trace

import (
	"context"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scope names this program as the maker of its spans.
const scope = "github.com/backstaydb/backstay"

// Config says where spans go.
type Config struct {
	// Endpoint is the base URL of a collector that speaks OTLP over HTTP, as in http://127.0.0.1:4318; v1/traces is
	// appended. Empty: what OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT says, and without these
	// nothing is traced. The other OTEL_ variables (headers, certificates, timeout, sampler, resource) count as well.
	Endpoint string
	Headers  map[string]string // sent with each request; their values may be secrets
	Version  string            // of backstay
	Log      *slog.Logger      // hears when spans are not delivered, and when they are again; nil: nobody
}

// Start returns a context in which Begin makes spans, and a function that sends the last of them, within the time that
// its context has, and ends all that Start began. If nothing is to be traced the context is ctx. An error is no reason
// not to work: the context and the function can be used with it too. It is an EndpointError.
func Start(ctx context.Context, c Config) (context.Context, func(context.Context) error, error) {
	nothing := func(context.Context) error { return nil }
	options, on, err := c.options()
	if err != nil || !on {
		return ctx, nothing, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return ctx, nothing, &EndpointError{Err: err}
	}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(&reporter{SpanExporter: exporter, log: c.Log}),
		sdk.WithResource(c.resource()),
	)
	t := provider.Tracer(scope, trace.WithInstrumentationVersion(c.Version))
	return context.WithValue(ctx, tracerKey{}, t), provider.Shutdown, nil
}

// resource says who sends. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override it.
func (c Config) resource() *resource.Resource {
	host, _ := os.Hostname()
	own := resource.NewSchemaless(
		attribute.String("service.name", "backstay"), attribute.String("service.version", c.Version),
		attribute.String("host.name", host), attribute.Int("process.pid", os.Getpid()),
	)
	said := resource.Environment() // schemaless where the variables are empty
	merged, err := resource.Merge(own, said)
	if err != nil {
		return own
	}
	return merged
}

// tracerKey is where a context keeps the tracer.
type tracerKey struct{}

// tracer finds the tracer of ctx; false if nothing is traced.
func tracer(ctx context.Context) (trace.Tracer, bool) {
	t, ok := ctx.Value(tracerKey{}).(trace.Tracer)
	return t, ok
}
