package metrics

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/api"
)

var update = flag.Bool("update", false, "write testdata and docs/reference/metrics.md anew")

// scrape is what a handler answers to Prometheus, series of ours only.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	lines := strings.SplitAfter(w.Body.String(), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return !strings.Contains(l, "backstay_") }), "")
}

func well() *Metrics {
	m := New(Config{
		Status: func() api.Status { return wellStatus(noon, 0) }, Receivers: func() []Receiver { return wellReceivers(noon, 0) },
		Now: func() time.Time { return noon },
	})
	tellWell(m, noon)
	return m
}

func sick() *Metrics {
	m := New(Config{
		Status: func() api.Status { return sickStatus(noon, 0) }, Receivers: func() []Receiver { return sickReceivers(noon, 0) },
		Now: func() time.Time { return noon },
	})
	tellSick(m, noon)
	return m
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs\n%s", path, diff)
	}
}

func TestAScrapeOfAHealthyAndOfASickHost(t *testing.T) {
	for name, m := range map[string]*Metrics{"well": well(), "sick": sick()} {
		t.Run(name, func(t *testing.T) {
			got := scrape(t, m)
			golden(t, "testdata/"+name+".txt", got)
			for _, secret := range []string{"geheim", "acme-dr", "mail.example", "/srv/app"} {
				if strings.Contains(got, secret) {
					t.Errorf("the scrape shows %q", secret)
				}
			}
		})
	}
}

func TestEverySeriesIsListedAndShown(t *testing.T) {
	shown := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(scrape(t, sick()), -1) {
		shown[m[1]+" "+m[2]] = true
	}
	for _, s := range All() {
		if !shown[s.Name+" "+string(s.Kind)] {
			t.Errorf("%s %s is listed and not shown", s.Kind, s.Name)
		}
		delete(shown, s.Name+" "+string(s.Kind))
	}
	if len(shown) > 0 {
		t.Errorf("shown and not listed: %v", shown)
	}
}

func TestTheReferenceIsOfThisTable(t *testing.T) {
	golden(t, "../../docs/reference/metrics.md", Page())
}

// value finds the value of one series in a scrape; empty if it is not there.
func value(text, series string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func TestJobsCountFailuresInARow(t *testing.T) {
	m := New(Config{Status: func() api.Status { return api.Status{} }, Now: func() time.Time { return noon }})
	const of = `{kind="drill",source="orders"}`
	before := strconv.FormatFloat(unix(noon.Add(-time.Hour)), 'g', -1, 64)
	after := strconv.FormatFloat(unix(noon), 'g', -1, 64)
	m.KnowJob(Job{Source: "orders", Kind: "drill", LastSuccess: noon.Add(-time.Hour), Failures: 2})
	for _, step := range []struct {
		outcome            Outcome
		failures, lastTime string
	}{
		{Failed, "3", before},
		{Interrupted, "3", before},
		{Overran, "4", before},
		{Done, "0", after},
		{Failed, "1", after},
	} {
		m.JobBegan("orders", "drill")
		if got := value(scrape(t, m), jobRunning.Name+of); got != "1" {
			t.Errorf("running %q", got)
		}
		m.JobEnded("orders", "drill", step.outcome, time.Second)
		text := scrape(t, m)
		for series, want := range map[string]string{jobFailures.Name: step.failures, jobSuccess.Name: step.lastTime, jobRunning.Name: "0"} {
			if got := value(text, series+of); got != want {
				t.Errorf("after %s: %s is %q, want %q", step.outcome, series, got, want)
			}
		}
	}
	m.JobDue("orders", "drill", noon)
	if value(scrape(t, m), jobDue.Name+of) == "" {
		t.Error("due is not shown")
	}
	m.JobDue("orders", "drill", time.Time{})
	if got := value(scrape(t, m), jobDue.Name+of); got != "" {
		t.Errorf("due is shown as %s, and the job is not planned", got)
	}
}

func TestWhatIsGoneHasNoSeries(t *testing.T) {
	m := New(Config{Status: func() api.Status { return api.Status{Running: true} }})
	tellWell(m, noon)
	if !strings.Contains(scrape(t, m), `source="orders"`) {
		t.Fatal("what was told is not shown")
	}
	m.Forget("orders")
	if text := scrape(t, m); strings.Contains(text, `source="orders"`) {
		t.Errorf("after Forget:\n%s", text)
	}
	m.SetPromises(nil, nil)
	if text := scrape(t, m); strings.Contains(text, "objective=") {
		t.Errorf("after a judgement without promises:\n%s", text)
	}
}

func TestAnUnknownStateAndABadNameCostNoOtherSeries(t *testing.T) {
	m := New(Config{Status: func() api.Status {
		return api.Status{Running: true, Sources: []api.Source{{Name: "a\xff", State: "paused"}, {Name: "b", State: "following"}}}
	}})
	text := scrape(t, m)
	for _, series := range []string{
		`backstay_source_state{source="a?",state="paused"}`, `backstay_source_state{source="b",state="following"}`,
	} {
		if value(text, series) != "1" {
			t.Errorf("%s is missing in\n%s", series, text)
		}
	}
}

func TestAPromiseIsBrokenByEachOfItsFindings(t *testing.T) {
	text := scrape(t, sick())
	for series, want := range map[string]string{
		`backstay_objective_kept{objective="check",source="orders"}`:              "0", // a finding without a promise
		`backstay_objective_excepted{objective="check",source="orders"}`:          "0", // one of its two findings is excepted
		`backstay_findings{objective="check",severity="warning",source="orders"}`: "1",
		`backstay_objective_kept{objective="drill",source="orders"}`:              "0",
		`backstay_objective_excepted{objective="drill",source="orders"}`:          "1",
		`backstay_findings{objective="drill",severity="warning",source="orders"}`: "0",
		`backstay_findings{objective="rpo",severity="critical",source="orders"}`:  "1",
		`backstay_objective_measured_seconds{objective="rto",source="orders"}`:    "720",
		`backstay_objective_bound_seconds{objective="check",source="orders"}`:     "",
		`backstay_receiver_state{receiver="smtp",state="dead"}`:                   "1",
		`backstay_notices_lost_total{receiver="smtp"}`:                            "2",
	} {
		if got := value(text, series); got != want {
			t.Errorf("%s is %q, want %q", series, got, want)
		}
	}
}
