package alertmanager_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/alertmanager"
	"github.com/backstaydb/backstay/internal/notify/notifytest"
)

// postable is the postableAlert of the API's schema, with nothing else allowed.
type postable struct {
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	GeneratorURL string            `json:"generatorURL"`
}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// check refuses what Alertmanager would: see its api/v2/api.go and types.Alert.Validate.
func check(r *http.Request, body []byte) error {
	if r.Method != http.MethodPost || r.URL.Path != "/prefix/api/v2/alerts" || r.Header.Get("Content-Type") != "application/json" {
		return fmt.Errorf("called %s %s with %v", r.Method, r.URL, r.Header)
	}
	if user, password, _ := r.BasicAuth(); user != "anna" || password != "PLANTED" {
		return errors.New("no login")
	}
	alerts, err := read(body)
	if err != nil {
		return err
	}
	if len(alerts) == 0 {
		return errors.New("no alerts")
	}
	for _, a := range alerts {
		if a.StartsAt.IsZero() || a.EndsAt.Before(a.StartsAt) || len(a.Labels) == 0 || a.Labels["alertname"] == "" {
			return fmt.Errorf("bad alert %+v", a)
		}
		for name, value := range a.Labels {
			if !labelName.MatchString(name) || value == "" {
				return fmt.Errorf("bad label %s=%q", name, value)
			}
		}
	}
	return nil
}

func read(body []byte) (alerts []postable, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	return alerts, d.Decode(&alerts)
}

func open(t *testing.T, far *notifytest.Far) *alertmanager.Sender {
	t.Helper()
	s, err := alertmanager.Open("alertmanager+http://anna:PLANTED@" + far.Listener.Addr().String() + "/prefix/")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuite(t *testing.T) {
	for _, step := range notifytest.Steps() {
		t.Run(step.Name, func(t *testing.T) {
			far := notifytest.NewFar()
			defer far.Close()
			far.Check = check
			w := notifytest.World{Sender: open(t, far), Set: far.Set, Taken: far.Taken, Secrets: []string{"PLANTED", "anna"}}
			if err := step.Run(t.Context(), w); err != nil {
				t.Error(err)
			}
		})
	}
}

// An alert lives as its matter does: it is kept alive, moves when the severity does, and ends.
func TestAlertsOfAMatter(t *testing.T) {
	far := notifytest.NewFar()
	defer far.Close()
	far.Check = check
	s := open(t, far)
	var _ notify.Repeater = s
	now := time.Now()
	n := notify.Notice{Fingerprint: "rpo/orders", Objective: "rpo", Source: "orders", Severity: notify.Warning, Since: now.Add(-time.Hour), Reason: "r", Host: "db1"}
	risen, ended := n, n
	risen.Severity = notify.Critical
	ended.Severity, ended.Ended = notify.Critical, now
	for _, c := range []struct {
		change notify.Change
		want   string
	}{
		{notify.Change{Kind: notify.Began, Notice: n}, "warning on"},
		{notify.Change{Kind: notify.Lasts, Notice: n}, "warning on"},
		{notify.Change{Kind: notify.Rose, Notice: risen, Was: notify.Warning}, "warning off, critical on"},
		{notify.Change{Kind: notify.Ended, Notice: ended, Was: notify.Critical}, "critical off"},
		{notify.Change{Kind: notify.Ended, Notice: ended, Was: notify.Warning}, "critical off, warning off"},
		{notify.Change{Kind: notify.Happened, Notice: notify.Notice{Fingerprint: "gap", Objective: "gap", Since: now, Reason: "r"}}, "info on"},
	} {
		if err := s.Send(t.Context(), notify.Message{ID: "x", At: now, Kind: notify.Changes, Changes: []notify.Change{c.change}}); err != nil {
			t.Fatal(err)
		}
		taken := far.Taken()
		alerts, err := read([]byte(taken[len(taken)-1]))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range alerts {
			state := "off"
			if a.EndsAt.After(time.Now().Add(3 * s.Every())) {
				state = "on"
			}
			got = append(got, a.Labels["severity"]+" "+state)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %v, want %s", c.change.Kind, got, c.want)
		}
	}
	if err := s.Send(t.Context(), notify.Message{ID: "x", Kind: notify.Test, Text: "test", Host: "db1"}); err != nil {
		t.Error(err)
	}
}
