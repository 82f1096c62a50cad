package trace

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
)

// EndpointError says that there is an end point for spans, and that nothing can be sent there.
type EndpointError struct{ Err error }

func (e *EndpointError) Error() string { return "trace: " + e.Err.Error() }

func (e *EndpointError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *EndpointError) Hint() string {
	return "name a collector that speaks OTLP over HTTP, as in http://127.0.0.1:4318; credentials belong into headers"
}

// options are those of the exporter; false if nothing is to be traced.
func (c Config) options() ([]otlptracehttp.Option, bool, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, false, nil
	}
	options := []otlptracehttp.Option{otlptracehttp.WithHeaders(c.Headers)}
	if len(c.Headers) == 0 {
		options = nil // they would override the variable's
	}
	if c.Endpoint != "" {
		address, err := tracesURL(c.Endpoint)
		return append(options, otlptracehttp.WithEndpointURL(address)), true, err
	}
	said := first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if said == "" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return nil, false, nil
	}
	if protocol := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol == "grpc" {
		return nil, false, &EndpointError{errors.New("OTLP over gRPC is asked for by the environment, and only http/protobuf and http/json are spoken")}
	}
	_, err := tracesURL(said) // the exporter would send to localhost instead
	return options, true, err
}

// first is the value of the first variable that has one.
func first(names ...string) string {
	for _, name := range names {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

// tracesURL is where the collector at endpoint takes spans. The text of an end point that cannot be read is not
// repeated: it may hold a password.
func tracesURL(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return "", &EndpointError{errors.New("the end point is no URL")}
	case u.User != nil:
		return "", &EndpointError{fmt.Errorf("the end point %s holds credentials", u.Redacted())}
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", &EndpointError{fmt.Errorf("the end point %s is not http:// or https:// and a host", u.Redacted())}
	case strings.HasSuffix(u.Path, "/v1/traces"):
		return u.String(), nil
	}
	return u.JoinPath("v1/traces").String(), nil
}
