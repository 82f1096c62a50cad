package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
)

func TestWhetherCommitsWait(t *testing.T) {
	for _, c := range []struct {
		names, commit string
		sync          string // "": not seen, "-": there is no stream
		others        int
		want          waiting
	}{
		{"", "on", "async", 0, notNamed},
		{"backstay2, b", "on", "async", 0, notNamed},
		{`"backstay, or so"`, "on", "", 0, notNamed},
		{"backstay", "on", "async", 0, notNamed}, // it has not read that yet
		{"Backstay", "on", "-", 0, isAwaited},
		{"backstay", "on", "sync", 1, isAwaited},
		{"backstay", "remote_write", "sync", 1, isAwaited},
		{"backstay", "off", "sync", 0, notAwaited},
		{"backstay", "local", "", 0, notAwaited},
		{`FIRST 1 (a, "backstay")`, "on", "potential", 1, isNext},
		{`FIRST 1 (a, "backstay")`, "on", "sync", 1, isAwaited}, // a is away
		{"FIRST 1 (a, backstay)", "on", "", 1, untold},
		{"FIRST 1 (a, backstay)", "on", "", 0, isAwaited},
		{"first 2 (a, backstay)", "on", "", 1, isAwaited},
		{"1 (backstay, a)", "on", "", 1, isAwaited},
		{"backstay, a", "on", "", 1, isAwaited},
		{"backstay, a", "on", "-", 1, untold},
		{"ANY 1 (a, backstay)", "on", "quorum", 1, oneOfMany},
		{"ANY 1 (a, backstay)", "on", "", 1, oneOfMany},
		{"ANY 2 (a, backstay)", "on", "quorum", 1, isAwaited},
		{"*", "on", "sync", 0, isAwaited},
		{"*", "on", "sync", 1, oneOfMany},
		{"*", "on", "", 0, isAwaited},
		{"*", "on", "", 1, untold},
		{"ANY 1 (*)", "on", "quorum", 2, oneOfMany},
	} {
		f := serverFacts{name: "backstay", settings: map[string]string{"synchronous_standby_names": c.names, "synchronous_commit": c.commit}, streams: c.sync != "-", others: c.others}
		if f.streams {
			f.sync = c.sync
		}
		if got := f.waiting(); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
		if a, awaited := f.waitingAdvice(), c.want == isAwaited; strings.Contains(a.Text, "commits wait until") != awaited {
			t.Errorf("%+v: %q", c, a.Text)
		}
	}
}

func TestStandbyNamesAreRead(t *testing.T) {
	for s, want := range map[string]string{
		"": "false 1 []", "a, b": `false 1 ["a" "b"]`, "2 (a,b)": `false 2 ["a" "b"]`, "FIRST 2 ( a , b )": `false 2 ["a" "b"]`,
		"any 3 (*)": `true 3 ["*"]`, `"x, (y", "z""z"`: `false 1 ["x, (y" "z\"z"]`, `ANY 1 ("any")`: `true 1 ["any"]`,
	} {
		n := parseStandbyNames(s)
		if got := fmt.Sprintf("%t %d %q", n.quorum, n.number, n.names); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}

// TestAdviceFollowsTheServer changes who commits wait for while the log is followed.
func TestAdviceFollowsTheServer(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := pgtest.New(t, pgtest.Options{})
	s, b := followed(t, c)
	f := follow(t, s, b)
	defer f.stop()
	says := func(settings map[string]string, words ...string) {
		t.Helper()
		c.Set(t, settings)
		c.Exec(t, "select pg_reload_conf()")
		var list []engine.Advice
		enginetest.Until(t, waitLimit, strings.Join(words, " or "), func() bool {
			var err error
			if list, err = s.Advise(t.Context()); err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(list, func(a engine.Advice) bool {
				return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(a.Text, w) })
			})
		})
	}
	says(map[string]string{"synchronous_standby_names": ""}, "commits do not wait for Backstay: ")
	says(map[string]string{"synchronous_standby_names": "ANY 1 (x)"}, "but for others (synchronous_standby_names is ANY 1 (x))")
	says(map[string]string{"synchronous_standby_names": "backstay"}, "commits wait until")
	says(map[string]string{"synchronous_commit": "local"}, "synchronous_commit is local: commits do not wait")
	says(map[string]string{"synchronous_commit": "on"}, "commits wait until")

	settings, err := s.settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	settings.RuntimeParams["application_name"] = "a"
	other, err := replication.Open(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := other.Identify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := other.Stream(t.Context(), replication.StreamOptions{From: sys.Flushed, Timeline: sys.Timeline})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if err := stream.Confirm(replication.Status{Written: sys.Flushed, Flushed: sys.Flushed}); err != nil {
		t.Fatal(err)
	}
	// Not every role may see what the others are.
	says(map[string]string{"synchronous_standby_names": "FIRST 1 (a, backstay)"}, "cannot be told")
	says(map[string]string{"synchronous_standby_names": ""}, "commits do not wait for Backstay: ") // or the next commit would wait for a
	c.Exec(t, "grant pg_read_all_stats to "+pgtest.Backup)
	says(map[string]string{"synchronous_standby_names": "FIRST 1 (a, backstay)"}, "but for standbys before it")
	says(map[string]string{"synchronous_standby_names": "ANY 1 (a, backstay)"}, "need not wait for Backstay")
	says(map[string]string{"synchronous_standby_names": "*"}, "need not wait for Backstay")
	says(map[string]string{"synchronous_standby_names": "FIRST 1 (backstay, a)"}, "commits wait until")
	stream.Close()
	says(map[string]string{"synchronous_standby_names": "*"}, "commits wait until")
	says(map[string]string{"synchronous_standby_names": ""}, "commits do not wait for Backstay: ")
}
