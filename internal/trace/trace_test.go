package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// span is one that arrived.
type span struct {
	TraceID, SpanID, ParentSpanID, Name string
	Attributes                          []attr
	Status                              struct {
		Code    int
		Message string
	}
}

type attr struct {
	Key   string
	Value map[string]any
}

func lookup(attrs []attr, key string) string {
	for _, a := range attrs {
		for _, v := range a.Value {
			if a.Key == key {
				return fmt.Sprint(v)
			}
		}
	}
	return ""
}

// collector takes spans as a collector does, in OTLP's JSON.
type collector struct {
	*httptest.Server

	mu       sync.Mutex
	spans    map[string]span // by name
	resource []attr
	header   http.Header
	refuse   bool
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
	c := &collector{spans: map[string]span{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.take)
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	var request struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []attr }
			ScopeSpans []struct{ Spans []span }
		}
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.header = r.Header
	for _, of := range request.ResourceSpans {
		c.resource = of.Resource.Attributes
		for _, in := range of.ScopeSpans {
			for _, s := range in.Spans {
				for _, id := range []*string{&s.TraceID, &s.SpanID, &s.ParentSpanID} {
					*id = strings.ToLower(*id) // OTLP leaves the case of its hexadecimal open
				}
				c.spans[s.Name] = s
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}

func TestADrillIsOneTraceWithTheRestoreInItAndTheLogBesideIt(t *testing.T) {
	c := newCollector(t)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=staging")
	ctx, shutdown, err := Start(t.Context(), Config{Endpoint: c.URL, Version: "1.4.0", Headers: map[string]string{"Authorization": "Bearer geheim"}})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	log := slog.New(Handler(slog.NewJSONHandler(&text, nil)))

	ctx, drill := Begin(ctx, Drill, "orders", slog.String("target", "latest"))
	in := drill.Phase(ctx, "fetch")
	log.InfoContext(in, "fetching")
	inner, restore := Begin(in, Restore, "orders")
	restore.Set(slog.Int64("bytes", 4096), slog.Duration("took", 1500*time.Millisecond))
	log.WithGroup("base").With("id", "b1").InfoContext(inner, "restoring", "n", 1)
	restore.End(nil)
	drill.Phase(in, "ask")
	drill.End(errors.New("the server does not start"))
	if err := shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	top, fetch, restored, ask := c.spans["drill"], c.spans["fetch"], c.spans["restore"], c.spans["ask"]
	if len(c.spans) != 4 || top.TraceID == "" || top.ParentSpanID != "" {
		t.Fatalf("spans %+v", c.spans)
	}
	for child, parent := range map[*span]span{&fetch: top, &restored: fetch, &ask: top} {
		if child.TraceID != top.TraceID || child.ParentSpanID != parent.SpanID {
			t.Errorf("%s hangs below %q of trace %s, want %s (%q)", child.Name, child.ParentSpanID, child.TraceID, parent.Name, parent.SpanID)
		}
	}
	for got, want := range map[string]string{
		lookup(top.Attributes, "backstay.source"): "orders", lookup(top.Attributes, "backstay.target"): "latest",
		lookup(top.Attributes, "backstay.outcome") + ask.Status.Message:            "failedthe server does not start",
		lookup(fetch.Attributes, "backstay.outcome"):                               "done",
		lookup(restored.Attributes, "backstay.bytes"):                              "4096",
		lookup(restored.Attributes, "backstay.took"):                               "1.5",
		lookup(c.resource, "service.name") + lookup(c.resource, "service.version"): "backstay1.4.0",
		lookup(c.resource, "deployment.environment"):                               "staging",
		c.header.Get("Authorization"):                                              "Bearer geheim",
		ID(ctx):                                                                    top.TraceID,
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	checkRecords(t, text.String(), top.TraceID, fetch.SpanID, restored.SpanID)
}

// checkRecords wants two records with the ids at their top, the second with its group below them.
func checkRecords(t *testing.T, text, traceID string, spanIDs ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != len(spanIDs) {
		t.Fatalf("log %q", text)
	}
	for i, line := range lines {
		var r struct {
			TraceID string `json:"trace_id"`
			SpanID  string `json:"span_id"`
			Base    map[string]any
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.TraceID != traceID || r.SpanID != spanIDs[i] {
			t.Errorf("record %s, want %s %s", line, traceID, spanIDs[i])
		}
		if i == 1 && (r.Base["id"] != "b1" || r.Base["n"] != 1.0 || len(r.Base) != 2) {
			t.Errorf("group %v", r.Base)
		}
	}
}

func TestWithoutAnEndPointNothingIsTraced(t *testing.T) {
	for _, off := range []map[string]string{
		{},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run("", func(t *testing.T) {
			for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"} {
				t.Setenv(name, off[name])
			}
			ctx, shutdown, err := Start(t.Context(), Config{})
			if err != nil || ctx != t.Context() {
				t.Fatalf("start: %v", err)
			}
			var text bytes.Buffer
			in, op := Begin(ctx, Backup, "orders")
			slog.New(Handler(slog.NewTextHandler(&text, nil))).InfoContext(op.Phase(in, "copy"), "copying")
			op.Set(slog.Int("n", 1))
			op.End(errors.New("no"))
			if ID(in) != "" || strings.Contains(text.String(), "trace_id") || !strings.Contains(text.String(), "copying") {
				t.Errorf("id %q, log %q", ID(in), text.String())
			}
			if err := shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheEnvironmentNamesTheCollector(t *testing.T) {
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=payments")
	ctx, shutdown, err := Start(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, op := Begin(ctx, Backup, "orders")
	op.End(context.Canceled)
	if err := shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.spans["backup"]
	if lookup(s.Attributes, "backstay.outcome") != "interrupted" || s.Status.Code != 0 || c.header.Get("X-Team") != "payments" {
		t.Errorf("span %+v, header %v", s, c.header)
	}
}

func TestABadEndPointIsNamedWithoutItsPassword(t *testing.T) {
	for endpoint, want := range map[string]string{
		"http://backstay:geheim@collector:4318": "holds credentials",
		"http://backstay:geheim@col lector":     "is no URL",
		"collector:4318":                        "not http://",
		"grpc://collector:4317":                 "not http://",
	} {
		ctx, shutdown, err := Start(t.Context(), Config{Endpoint: endpoint})
		var e *EndpointError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") || e.Hint() == "" {
			t.Errorf("%s: %v", endpoint, err)
		}
		if ctx != t.Context() || shutdown(t.Context()) != nil {
			t.Error("the work cannot go on")
		}
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	if _, _, err := Start(t.Context(), Config{}); err == nil || !strings.Contains(err.Error(), "gRPC") {
		t.Errorf("grpc: %v", err)
	}
}

func TestWhereTracesGo(t *testing.T) {
	for endpoint, want := range map[string]string{
		"http://c:4318": "http://c:4318/v1/traces", "http://c:4318/": "http://c:4318/v1/traces",
		"https://c/otlp": "https://c/otlp/v1/traces", "https://c/otlp/v1/traces": "https://c/otlp/v1/traces",
	} {
		if got, err := tracesURL(endpoint); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", endpoint, got, err, want)
		}
	}
}

// TestADeadCollectorHoldsNothingUp has one that takes connections and never answers.
func TestADeadCollectorHoldsNothingUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, shutdown, err := Start(t.Context(), Config{Endpoint: "http://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 10_000 {
		_, op := Begin(ctx, Job, "orders")
		op.End(nil)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("10,000 spans took %v", took)
	}
	late, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began = time.Now()
	if err := shutdown(late); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
}

func TestAnOutageIsLoggedOnceAndItsEnd(t *testing.T) {
	c := newCollector(t)
	var text bytes.Buffer
	ctx, shutdown, err := Start(t.Context(), Config{Endpoint: c.URL, Log: slog.New(slog.NewTextHandler(&text, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for _, refuse := range []bool{true, true, false, false} {
		c.mu.Lock()
		c.refuse = refuse
		c.mu.Unlock()
		_, op := Begin(ctx, Job, "orders")
		op.End(nil)
		if err := flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := text.String(); strings.Count(got, "are not delivered") != 1 || strings.Count(got, "delivered again") != 1 || !strings.Contains(got, "403") {
		t.Errorf("log %q", got)
	}
}

func BenchmarkNothing(b *testing.B) {
	for b.Loop() {
		ctx, op := Begin(b.Context(), Job, "orders")
		op.Phase(ctx, "copy")
		op.End(nil)
	}
}
