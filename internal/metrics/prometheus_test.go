package metrics

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
)

// program finds one of Prometheus's programs. A test that misses it is skipped, or failed where the servers must be there.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("BACKSTAY_NEED_SERVERS") != "" {
			t.Fatalf("%v; make packages brings what the tests need", err)
		}
		t.Skipf("%v: Debian's package prometheus has it", err)
	}
	return path
}

func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "promtool"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("FAILED")) {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolAcceptsTheSeries(t *testing.T) {
	promtool(t, scrape(t, sick()), "check", "metrics")
}

func TestPromtoolAcceptsTheRules(t *testing.T) {
	promtool(t, "", "check", "rules", monitor+"alerts.yaml")
	promtool(t, "", "test", "rules", monitor+"alerts_test.yaml")
}

// server is a running Prometheus.
type server struct {
	t   *testing.T
	url string
}

var listening = regexp.MustCompile(`msg="?Listening on"? address=(\S+)`)

// startPrometheus runs a server with a configuration and a file of rules until the test ends.
func startPrometheus(t *testing.T, config, rules string) server {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"prometheus.yml": config, "rules.yml": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program(t, "prometheus"), "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, said := make(chan string, 1), make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(&all, lines.Text())
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
		close(address)
		said <- all.String()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		log := <-said
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("prometheus: %v\n%s", err, log)
		}
		kill.Stop()
		http.DefaultClient.CloseIdleConnections()
	})
	select {
	case a := <-address:
		if a != "" {
			return server{t, "http://" + a}
		}
	case <-time.After(30 * time.Second):
	}
	t.Fatal("prometheus does not listen")
	return server{}
}

// get asks the server's API and reads the data of its answer.
func (p server) get(path string, q url.Values, data any) {
	p.t.Helper()
	resp, err := http.Get(p.url + path + "?" + q.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	answer := struct {
		Error string
		Data  any
	}{Data: data}
	if err != nil || json.Unmarshal(body, &answer) != nil || answer.Error != "" {
		p.t.Fatalf("%s %v: %v %s", path, q, err, body)
	}
}

// values are those of all series that a query finds now.
func (p server) values(expr string) []float64 {
	p.t.Helper()
	var data struct{ Result []struct{ Value [2]any } }
	p.get("/api/v1/query", url.Values{"query": {expr}}, &data)
	var out []float64
	for _, r := range data.Result {
		s, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		if !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	return out
}

// alert is one that Prometheus has raised.
type alert struct {
	State               string
	Labels, Annotations map[string]string
}

func (p server) firing() []alert {
	p.t.Helper()
	var data struct{ Alerts []alert }
	p.get("/api/v1/alerts", nil, &data)
	return slices.DeleteFunc(data.Alerts, func(a alert) bool { return a.State != "firing" })
}

// host serves a daemon whose facts follow the time. Each scrape finds that some more has happened.
func host(t *testing.T, status func(time.Time, int) api.Status, receivers func(time.Time, int) []Receiver, tell func(*Metrics, time.Time)) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	m := New(Config{
		Status:    func() api.Status { return status(time.Now(), int(n.Add(1))) },
		Receivers: func() []Receiver { return receivers(time.Now(), int(n.Load())) },
	})
	h := m.Handler()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tell(m, time.Now())
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s, &n
}

// TestARealPrometheusAnswersTheDashboardAndFiresTheRules scrapes a healthy host, one on which everything is wrong, and
// one that dies. The rules are those of monitor without their patience, which alerts_test.yaml tests.
func TestARealPrometheusAnswersTheDashboardAndFiresTheRules(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes ten seconds")
	}
	well, _ := host(t, wellStatus, wellReceivers, tellWell)
	sick, _ := host(t, sickStatus, sickReceivers, tellSick)
	dying, seen := host(t, wellStatus, wellReceivers, tellWell)
	rules, err := os.ReadFile(monitor + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := "global: { scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }\nrule_files: [rules.yml]\nscrape_configs:\n- job_name: backstay\n  static_configs:\n"
	for name, s := range map[string]*httptest.Server{"well": well, "sick": sick, "dying": dying} {
		config += fmt.Sprintf("  - { targets: [%q], labels: { instance: %s } }\n", s.Listener.Addr(), name)
	}
	p := startPrometheus(t, config, regexp.MustCompile(`(?m)^ +for: .*$`).ReplaceAllString(string(rules), ""))
	deadline := time.Now().Add(time.Minute)

	for seen.Load() < 2 && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	dying.Close()
	for {
		missing, wrong := compareAlerts(readRules(t), p.firing())
		if len(missing) == 0 && len(wrong) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("alerts that do not fire: %q\nalerts that must not: %q", missing, wrong)
		}
		time.Sleep(250 * time.Millisecond)
	}
	for _, a := range p.firing() {
		for name, text := range a.Annotations {
			if strings.Contains(text, "<no value>") || strings.Contains(text, "error expanding") || strings.Contains(text, "{{") {
				t.Errorf("%s: %s is %q", a.Labels["alertname"], name, text)
			}
		}
	}
	d := readDashboard(t)
	t.Run("panels", func(t *testing.T) { answerPanels(t, p, d) })
	t.Run("variables", func(t *testing.T) { answerVariables(t, p, d) })
}

// compareAlerts names the alerts that should fire on the sick and on the dying host and do not, and those that fire elsewhere.
func compareAlerts(rules []rule, firing []alert) (missing, wrong []string) {
	found := map[string]bool{}
	for _, a := range firing {
		name, instance := a.Labels["alertname"], a.Labels["instance"]
		switch {
		case a.Labels["severity"] == "":
			wrong = append(wrong, name+" without severity")
		case instance == "sick" && name != "BackstayDown", instance == "dying" && name == "BackstayDown":
			found[name] = true
		case instance != "dying": // while it dies, its restarts may be seen
			wrong = append(wrong, name+" on "+instance)
		}
	}
	for _, r := range rules {
		if !found[r.Alert] {
			missing = append(missing, r.Alert)
		}
	}
	return missing, wrong
}

// filled is a query as Grafana sends it, when all daemons and all sources are chosen.
func filled(expr string) string {
	return strings.NewReplacer("$instance", ".*", "$source", ".*", "$__rate_interval", "10s", "$__range", "20s").Replace(expr)
}

func answerPanels(t *testing.T, p server, d dashboard) {
	asked := 0
	for _, panel := range d.Panels {
		for _, q := range panel.Targets {
			asked++
			if v := p.values(filled(q.Expr)); len(v) == 0 {
				t.Errorf("%q has no data: %s", panel.Title, q.Expr)
			}
		}
	}
	for _, a := range d.Annotations.List {
		asked++
		if v := p.values(filled(a.Expr)); len(v) == 0 {
			t.Errorf("annotation %q has no data: %s", a.Name, a.Expr)
		}
	}
	t.Logf("%d queries have data", asked)
	for expr, want := range map[string]float64{
		`sum(backstay_findings{instance="sick", severity="critical"})`:                                    1,
		`backstay_source_spool_bytes{instance="sick", source="orders"} / 1024 / 1024 / 1024`:              9,
		`count(backstay_source_state{instance="well", state="following"} == 1)`:                           2,
		`backstay_repository_lag_seconds{instance="well", source="orders", repository="offsite"}`:         1.4,
		`sum(backstay_objective_kept{instance="well"}) / count(backstay_objective_kept{instance="well"})`: 0.8,
	} {
		if v := p.values(expr); len(v) != 1 || v[0] != want {
			t.Errorf("%s is %v, want %v", expr, v, want)
		}
	}
}

func answerVariables(t *testing.T, p server, d dashboard) {
	asked := 0
	for _, v := range d.Templating.List {
		var q struct{ Query string }
		if v.Type != "query" {
			continue
		}
		if err := json.Unmarshal(v.Query, &q); err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(q.Query)
		if m == nil {
			t.Fatalf("variable %s: %q is not understood", v.Name, q.Query)
		}
		asked++
		var names []string
		p.get("/api/v1/label/"+m[2]+"/values", url.Values{"match[]": {filled(m[1])}}, &names)
		if len(names) < 2 {
			t.Errorf("variable %s has the values %q", v.Name, names)
		}
	}
	if asked != 2 {
		t.Errorf("%d variables were asked", asked)
	}
}
