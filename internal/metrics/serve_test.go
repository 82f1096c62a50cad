package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/api"
)

func TestServeAnswersUntilItsContextEnds(t *testing.T) {
	m := well()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.serve(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]string{"/metrics": "backstay_up 1\n", "/healthz": `{"well":true,"version":"1.4.0","sources":2}` + "\n", "/": "/metrics"} {
		resp, err := client.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d, %v, want %q in\n%s", path, resp.StatusCode, err, want, body)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("serve: %v", err)
	}
	if _, err := client.Get("http://" + l.Addr().String()); err == nil {
		t.Error("it still answers")
	}
}

func TestAnAddressThatIsTakenIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = well().Serve(t.Context(), l.Addr().String())
	var taken *ListenError
	if !errors.As(err, &taken) || taken.Address != l.Addr().String() || !strings.Contains(err.Error(), "in use") || taken.Hint() == "" {
		t.Errorf("error %v", err)
	}
}

// health asks /healthz of m.
func health(t *testing.T, m *Metrics) (int, Health) {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil))
	var h Health
	if err := json.Unmarshal(w.Body.Bytes(), &h); err != nil {
		t.Fatal(err)
	}
	return w.Code, h
}

func TestHealthIsOfTheDaemonNotOfThePromises(t *testing.T) {
	if code, h := health(t, sick()); code != http.StatusOK || len(h.Failing) != 1 || h.Failing[0] != "orders" {
		t.Errorf("a failing source: %d %+v", code, h)
	}
	stuck := New(Config{Status: func() api.Status { return wellStatus(noon, 0) }, Well: func() error { return errors.New("the scheduler has not looked for 90s") }})
	if code, h := health(t, stuck); code != http.StatusServiceUnavailable || h.Well || h.Reason != "the scheduler has not looked for 90s" {
		t.Errorf("a stuck daemon: %d %+v", code, h)
	}
	resting := New(Config{Status: func() api.Status { return api.Status{} }})
	if code, h := health(t, resting); code != http.StatusServiceUnavailable || h.Reason != errNotRunning.Error() {
		t.Errorf("no daemon: %d %+v", code, h)
	}
}

// TestADaemonThatHangsIsSeen lets the daemon not answer: scrapes and probes end all the same, with one question under way.
func TestADaemonThatHangsIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		asked := 0
		m := New(Config{Status: func() api.Status { asked++; <-answer; return wellStatus(noon, 0) }})
		m.JobBegan("orders", "drill")
		for range 3 {
			began := time.Now()
			text := scrape(t, m)
			if value(text, "backstay_up") != "0" || value(text, `backstay_job_running{kind="drill",source="orders"}`) != "1" || strings.Contains(text, "backstay_source") {
				t.Errorf("scrape\n%s", text)
			}
			if code, h := health(t, m); code != http.StatusServiceUnavailable || h.Reason != errSilent.Error() {
				t.Errorf("health %d %+v", code, h)
			}
			if took := time.Since(began); took != 2*patience {
				t.Errorf("it took %v", took)
			}
		}
		if asked != 1 {
			t.Errorf("it was asked %d times", asked)
		}
		close(answer)
		synctest.Wait()
		if text := scrape(t, m); value(text, "backstay_up") != "1" || asked != 2 {
			t.Errorf("after %d questions\n%s", asked, text)
		}
	})
}

func BenchmarkStoreCall(b *testing.B) {
	m := New(Config{Status: func() api.Status { return api.Status{} }})
	for b.Loop() {
		m.StoreCall("offsite", "put", 80*time.Millisecond, nil)
	}
}

// BenchmarkScrape is of 2,000 sources with two repositories each.
func BenchmarkScrape(b *testing.B) {
	s := wellStatus(noon, 0)
	one := s.Sources[0]
	s.Sources = nil
	for i := range 2000 {
		one.Name = string(rune('a'+i%26)) + time.Duration(i).String()
		s.Sources = append(s.Sources, one)
	}
	h := New(Config{Status: func() api.Status { return s }}).Handler()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
}
