package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
)

// TestTheLogIsQuietWhileAllIsWell shows a daemon every ten seconds for an hour: only what changes, and what lasts, is written down.
func TestTheLogIsQuietWhileAllIsWell(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	l := &live{c: &console{log: slog.New(slog.NewTextHandler(&out, nil)), now: func() time.Time { return now }}}
	lines := func(state, repository string, d time.Duration) int {
		t.Helper()
		out.Reset()
		for end := now.Add(d); now.Before(end); now = now.Add(10 * time.Second) {
			lag := now.Sub(end).Seconds() // numbers change all the time
			l.show(api.Status{Sources: []api.Source{{Name: "app", State: "following", Repositories: []api.Repository{{Name: "local", State: "ok"}}},
				{Name: "shop", State: state, Repositories: []api.Repository{{Name: "far", State: repository, LagSeconds: lag}}}}})
		}
		return strings.Count(out.String(), "\n")
	}
	for _, c := range []struct {
		state, repository string
		want              int
		says              string
	}{
		{"starting", "empty", 1, "shop starting"},
		{"following", "ok", 1, "all sources are captured"},
		{"following", "ok", 0, ""},
		{"following", "failing", 10, "shop following"},
		{"failing", "failing", 10, "shop failing"},
		{"following", "ok", 1, "all sources are captured"},
		{"elsewhere", "ok", 0, ""},
	} {
		d := 10 * time.Minute
		if c.want == 1 && c.state == "starting" {
			d = 20 * time.Second
		}
		if got := lines(c.state, c.repository, d); got != c.want || !strings.Contains(out.String(), c.says) || strings.Contains(out.String(), "app following") {
			t.Errorf("%+v: %d lines\n%s", c, got, out.String())
		}
	}
}
