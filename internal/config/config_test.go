package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/schedule"
)

func TestRefusals(t *testing.T) {
	table, err := os.ReadFile("testdata/refused.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(string(table), "== ")[1:]
	for _, c := range cases {
		name, rest, _ := strings.Cut(c, "\n")
		file, want, ok := strings.Cut(rest, "----\n")
		if !ok {
			t.Fatalf("%s: no ----", name)
		}
		t.Run(name, func(t *testing.T) {
			_, err := Parse(Name, []byte(file))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want *Error", err)
			}
			got := e.Error() + "\n"
			if e.Hint() != "" {
				got += "hint: " + e.Hint() + "\n"
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("the error shows the secret")
			}
		})
	}
}

const example = `# The shop.
repositories: { local: { store: ./repo } }
sources: { app: { url: "sqlite:./app.db", repositories: [local] } }
`

func TestLoadReadsTheShapeOfTheIssue(t *testing.T) {
	path := filepath.Join(t.TempDir(), Name)
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Source{URL: "sqlite:./app.db", Promise: Promise{Repositories: []string{"local"}}}
	if diff := cmp.Diff(want, c.Sources["app"]); diff != "" {
		t.Error(diff)
	}
	if c.Repositories["local"].Store != "./repo" || c.Sources["app"].Limit() != 10<<30 || c.Dir() != filepath.Dir(path) {
		t.Errorf("got %+v", c)
	}
	if _, err := Load(path + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// promised is a file with all that a person may promise.
const promised = `repositories:
  local:   { store: /var/lib/backstay/repo }
  offsite: { store: "s3://acme-dr/shop?region=eu-central-1", object_lock: 30d }
recipients:
  ops: age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj
classes:
  critical: { rpo: 5s, rto: 10m, window: 30d, repositories: [local, offsite], durable_in: 1,
              base: { full: daily }, keep: { daily: 14, weekly: 8, monthly: 12, zone: Europe/Berlin },
              drill: daily, deep_check_every: 7d, recipients: [ops] }
  standard:
    rpo: 15m
    repositories: [local]
    base: { full: weekly }
    drill: { every: weekly, to: [latest], checks: [ { sql: "select count(*) from orders", expect: "3" }, { command: [./probe, --quick], timeout: 5m } ] }
sources:
  orders:
    url: "postgres://backstay@10.0.0.5/"
    class: critical
    owner: payments
    rto: 20m
    hours: { prefer: "22:00-04:00 Europe/Berlin" }
    hold: [ { until: 2027-01-31, reason: "case 12", by: anna } ]
    exceptions: [ { objective: drill, until: 2026-12-24, reason: "new disks come in January", by: anna } ]
  sessions: { url: "sqlite:/srv/app/sessions.db", class: standard, after: [orders] }
  plain:    { url: "sqlite:/srv/app/plain.db", repositories: [local] }
notify:
  - { to: "slack://", at: [warning], quiet: "22:00-07:00 Europe/Berlin" }
  - { to: "env:MAIL_URL", at: [critical], escalate_after: 15m, classes: [critical] }
metrics: { listen: "127.0.0.1:9465" }
environment: production
`

func TestASourceInheritsItsClass(t *testing.T) {
	c, err := Parse(Name, []byte(promised))
	if err != nil {
		t.Fatal(err)
	}
	orders, sessions, plain := c.Sources["orders"], c.Sources["sessions"], c.Sources["plain"]
	daily, err := schedule.Parse("daily")
	if err != nil {
		t.Fatal(err)
	}
	night, err := schedule.ParseWindows("22:00-04:00 Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	want := Promise{RPO: Span(5 * time.Second), RTO: Span(20 * time.Minute), Window: Span(720 * time.Hour), Repositories: []string{"local", "offsite"}, DurableIn: 1,
		Base: map[string]schedule.Expr{"full": daily}, Keep: Keep{Daily: 14, Weekly: 8, Monthly: 12, Zone: "Europe/Berlin"}, Drill: Drill{Every: daily},
		DeepCheckEvery: Span(168 * time.Hour), Recipients: []string{"ops"}, Hours: Hours{Prefer: night}}
	if diff := cmp.Diff(want, orders.Promise); diff != "" {
		t.Error(diff)
	}
	if got := orders.Hold[0].Until.End(); !got.Equal(time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the hold ends %v", got)
	}
	if d := sessions.Drill; len(d.Checks) != 2 || d.Checks[0].Expect != "3" || d.Checks[1].Command[1] != "--quick" || len(d.Targets()) != 1 {
		t.Errorf("drill %+v", d)
	}
	if plain.RPO != 0 || plain.Copies() != 1 || plain.Keep.AtLeast() != DefaultMinimum || !plain.Drill.IsZero() {
		t.Errorf("without a class: %+v", plain.Promise)
	}
}

func TestEmptyFilesAreFine(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing yet\n", "sources:\n", "sources: {}\n"} {
		if _, err := Parse(Name, []byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{"10GiB": 10 << 30, "500MB": 500e6, "1.5 KiB": 1536, "77": 77, "0": 0} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%s printed as %s reads as %d, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "GiB", "-1B", "NaN", "9e99TiB", "ten"} {
		if n, err := ParseSize(text); err == nil {
			t.Errorf("%q reads as %d", text, n)
		}
	}
}

func TestAges(t *testing.T) {
	for text, want := range map[string]time.Duration{"30d": 720 * time.Hour, "2w": 336 * time.Hour, "12 h": 12 * time.Hour, "10m": 10 * time.Minute, "5s": 5 * time.Second, "90s": 90 * time.Second, "0d": 0} {
		got, err := ParseSpan(text)
		if err != nil || time.Duration(got) != want {
			t.Errorf("%s: %s, %v", text, time.Duration(got), err)
		}
		if again, err := ParseSpan(got.String()); err != nil || again != got {
			t.Errorf("%s printed as %s reads as %s, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "30", "d", "-1d", "1.5d", "30y", "9999999w", "99999999999999999999d"} {
		if a, err := ParseSpan(text); err == nil {
			t.Errorf("%q reads as %s", text, a)
		}
	}
	c, err := Parse(Name, []byte("repositories: { far: { store: \"s3://b/p\", object_lock: 30d } }\n"))
	if err != nil || c.Repositories["far"].Lock != Span(720*time.Hour) {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestRefuseSecret(t *testing.T) {
	for _, url := range []string{"postgres://a:hunter2@h/db", "s3://b?secret_key=hunter2", "s3://b/p?x=1&token=hunter2"} {
		if err := RefuseSecret(url); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"sqlite:./app.db", "s3://b/p?endpoint=http://127.0.0.1:7070", "postgres://user@host:5432", "./repo"} {
		if err := RefuseSecret(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("a: &x [*x]\nsources: {<<: *x}"))
	f.Add([]byte("recipients: {me: age1}\n---\nb: 1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := Parse(Name, data); err != nil {
			_ = err.Error()
		}
	})
}
