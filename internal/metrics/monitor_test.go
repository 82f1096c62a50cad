package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const monitor = "../../monitor/"

// dashboard is what is asked of Grafana's file.
type dashboard struct {
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
		}
	}
	Annotations struct{ List []struct{ Name, Expr string } }
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ Type, UID string }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct{ RefID, Expr, LegendFormat string }
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	data, err := os.ReadFile(monitor + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) == 0 {
		t.Fatal("the dashboard has no panel")
	}
	return d
}

// rule is one alert rule.
type rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func readRules(t *testing.T) []rule {
	t.Helper()
	data, err := os.ReadFile(monitor + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there is no rule")
	}
	return all
}

// checkNames fails for each name of ours in expr that is no series.
func checkNames(t *testing.T, where, expr string) {
	t.Helper()
	names := regexp.MustCompile(`\bbackstay_\w+`).FindAllString(expr, -1)
	if len(names) == 0 && !strings.Contains(expr, "ALERTS") {
		t.Errorf("%s asks for no series of ours", where)
	}
	for _, name := range names {
		if !slices.ContainsFunc(All(), func(s Series) bool { return s.Name == name || s.Kind == Histogram && s.Name+"_bucket" == name }) {
			t.Errorf("%s asks for %s, which is no series", where, name)
		}
	}
}

func TestTheDashboardIsWhole(t *testing.T) {
	d := readDashboard(t)
	var rows []string
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%q has the id %d of another panel", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Errorf("%q lies over %q", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%q lacks a description, a unit, the variable data source or a query", p.Title)
		}
		for _, q := range p.Targets {
			checkNames(t, "panel "+p.Title, q.Expr)
			if !strings.Contains(q.Expr, `instance=~"$instance"`) {
				t.Errorf("%q does not follow the choice of the daemon: %s", p.Title, q.Expr)
			}
		}
	}
	if len(rows) != 6 || rows[0] != "Are the promises kept?" {
		t.Errorf("rows %q", rows)
	}
}

func TestTheRulesAreWhole(t *testing.T) {
	for _, r := range readRules(t) {
		checkNames(t, "rule "+r.Alert, r.Expr)
		for _, a := range []string{"summary", "description", "action"} {
			if r.Annotations[a] == "" {
				t.Errorf("%s has no %s", r.Alert, a)
			}
		}
		if s := r.Labels["severity"]; s != "warning" && s != "critical" && r.Alert != "BackstayPromiseBroken" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
	}
}
