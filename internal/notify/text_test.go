package notify

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the texts in testdata anew")

// What people read, as files: a change of a text is seen in a diff.
func TestTexts(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 10, 15, 30, 0, time.UTC)
	change := func(kind ChangeKind, n Notice) Change { return Change{Kind: kind, Notice: n} }
	store := func(source string) Notice {
		return Notice{
			Fingerprint: "rpo/" + source + "/offsite", Objective: "rpo", Source: source, Class: "critical", Severity: Critical, Host: "db1",
			Since:  at.Add(-42 * time.Second),
			Reason: "the last 42s of commits are on this host only; 5s are allowed: repository offsite does not answer",
			Do:     `look whether the store of offsite is up; "backstay store check offsite" shows what it answers`,
		}
	}
	drill := Notice{
		Fingerprint: "drill/shop", Objective: "drill", Source: "shop", Class: "standard", Severity: Warning, Host: "db2",
		Since: at.Add(-3 * day), Reason: "the last drill that passed is 10 days old; one a week is promised",
		Do: `run "backstay drill shop"`,
	}
	over := store("orders")
	over.Ended = at.Add(-time.Second)
	gap := Notice{
		Fingerprint: "gap/orders", Objective: "gap", Source: "orders", Severity: Critical, Host: "db1", Since: at,
		Reason: "log from 0/3000148 to 0/5000060 is missing for good; a new base is being taken",
	}
	var storm []Change
	for i := range 57 {
		n := store(fmt.Sprintf("db%02d", i))
		n.Do = fmt.Sprintf(`run "backstay status %s"`, n.Source)
		storm = append(storm, change(Began, n))
	}
	disk := Notice{Fingerprint: "disk", Objective: "spool", Severity: Warning, Host: "db1", Since: at.Add(-9 * time.Minute), Reason: "the spool's disk is 91 % full", Do: "make room in the spool's folder"}
	rose, ended, held, flapping, known, escalated := change(Rose, drill), change(Ended, over), change(Passed, over), change(Began, store("orders")), change(Lasts, drill), change(Began, store("orders"))
	rose.Severity, rose.Was = Critical, Warning
	ended.Was = Critical
	held.Held = true
	flapping.Flapping = 4
	known.Known = "anna"
	escalated.Escalated = true
	for _, c := range []struct {
		name    string
		kind    MessageKind
		route   Route
		changes []Change
	}{
		{"began", Changes, Route{}, []Change{change(Began, store("orders"))}},
		{"rose", Changes, Route{Zone: berlin}, []Change{rose}},
		{"lasts", Changes, Route{}, []Change{known}},
		{"ended", Changes, Route{}, []Change{ended}},
		{"event", Changes, Route{}, []Change{change(Happened, gap)}},
		{"flapping", Changes, Route{}, []Change{flapping}},
		{"escalated", Changes, Route{}, []Change{escalated}},
		{"storm", Changes, Route{}, storm},
		{"mixed", Changes, Route{}, []Change{ended, change(Began, disk), change(Happened, gap), change(Began, drill)}},
		{"quiet", Changes, Route{Zone: berlin}, []Change{held, {Kind: Began, Notice: drill, Held: true}}},
		{"summary", Summary, Route{Zone: berlin}, []Change{known, change(Lasts, disk)}},
		{"summary-nothing", Summary, Route{}, nil},
		{"test", Test, Route{}, nil},
	} {
		p := pipeline{host: "db1", id: func() string { return "YUX2ZVTIVRC6GEGXKOYV4A6PA4" }}
		if c.kind == Summary {
			p.summary = func(time.Time) string { return "203 sources; the promises of 201 are kept." }
		}
		m := p.message(lane{receiver: "ops", route: c.route}, c.kind, c.changes, at)
		got := fmt.Sprintf("subject: %s\nseverity: %s\n--- chat\n%s\n--- mail\n%s", m.Subject, m.Severity, m.Text, m.Body)
		path := filepath.Join("testdata", c.name+".txt")
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
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// Texts are bounded, in one line where they must be, and say what they leave out.
func TestTextsAreBounded(t *testing.T) {
	var changes []Change
	for i := range 500 {
		n := rpo(fmt.Sprint(i), Severity(i%3))
		n.Objective = fmt.Sprint("objective", i)
		n.Reason, n.Do = strings.Repeat("größe\n", 400), strings.Repeat("x\x00\r\n", 4000)
		changes = append(changes, Change{Kind: Began, Notice: n.tidied("db1", time.Time{})})
	}
	p := pipeline{host: "db1", id: func() string { return "id" }}
	m := p.message(lane{receiver: "ops"}, Changes, changes, time.Time{}.Add(time.Hour))
	if len([]rune(m.Text)) > chatLength || len(m.Body) > 200_000 || strings.ContainsAny(m.Subject, "\r\n\x00") || strings.ContainsAny(m.Body, "\r\x00") {
		t.Errorf("lengths %d, %d; subject %q", len(m.Text), len(m.Body), m.Subject)
	}
	if !strings.Contains(m.Text, "and more: ") || !strings.Contains(m.Body, "And more: ") {
		t.Error("what is left out is not counted")
	}
}
