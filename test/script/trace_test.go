//go:build unix

package script

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// collector takes traces as an OpenTelemetry collector does.
type collector struct {
	*httptest.Server

	mu    sync.Mutex
	spans []span
}

type span struct {
	TraceID, SpanID, ParentSpanID, Name string
	StartTimeUnixNano, EndTimeUnixNano  string
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []span }
			}
		}
		if r.URL.Path != "/v1/traces" || json.NewDecoder(r.Body).Decode(&request) != nil {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, of := range request.ResourceSpans {
			for _, in := range of.ScopeSpans {
				c.spans = append(c.spans, in.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(c.Close)
	return c
}

// trace is the newest trace with a root of that name, and the spans in it; false if there is none.
func (c *collector) trace(root string) (id string, names []string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == root && strings.Trim(s.ParentSpanID, "0") == "" {
			id, ok = s.TraceID, true
		}
	}
	for _, s := range c.spans {
		if ok && s.TraceID == id && s.Name != root {
			names = append(names, s.Name)
		}
	}
	return strings.ToLower(id), names, ok
}

// TestABackupARestoreAndADrillAreOneTraceEach runs them by command and by schedule, with a collector of the file and one of the
// environment.
func TestABackupARestoreAndADrillAreOneTraceEach(t *testing.T) {
	c := newCollector(t)
	s := newService(t, "trace: { otlp: \""+c.URL+"\" }\n"+strings.Replace(oneSource, "rpo: 10s", "rpo: 10s, drill: weekly, base: { full: monthly }", 1))
	s.start()
	s.hear("READY=1")
	s.follows("app")
	s.run("restore", "app", "--into", "back")
	id, names, ok := c.trace("restore")
	if !ok || !slices.Contains(names, "lay") {
		t.Errorf("restore: %s with %q", id, names)
	}
	s.run("run-now", "app", "drill")
	s.until("the daemon's drill is traced", func() bool { _, _, ok := c.trace("drill"); return ok })
	id, names, _ = c.trace("drill")
	for _, want := range []string{"lay", "verify"} {
		if !slices.Contains(names, want) {
			t.Errorf("the drill has phases %q, not %s", names, want)
		}
	}
	if log := s.log(); !strings.Contains(log, "trace_id="+id) {
		t.Errorf("no line of the log has the drill's trace %s", id)
	}
	s.run("run-now", "app", "base/full")
	s.until("the daemon's base is traced", func() bool { _, _, ok := c.trace("backup"); return ok })
	s.stop()

	// Without a collector in the file the environment's counts.
	s.write(oneSource)
	other := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", other.URL)
	s.run("drill", "app")
	if _, names, ok := other.trace("drill"); !ok || !slices.Contains(names, "verify") {
		t.Errorf("the command's drill: %q", names)
	}
	began := time.Now()
	other.Close()
	s.run("backup", "app")
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("a collector that is away delayed a backup to %v", took)
	}
}
