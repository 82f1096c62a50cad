package drill

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/sqlite"
)

// recovered records a SQLite source of 12 orders and returns a drill of it.
func recovered(t *testing.T) Config {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the commands of these tests are those of a Unix shell")
	}
	r := record(t, 12)
	c := newWorld().config(t)
	c.Engine, c.Facts, c.Now, c.Source, c.Dir = sqlite.Engine{}, r.facts, nil, "app", t.TempDir()
	return c
}

// TestOwnersChecks puts questions of all kinds to a real database, in one drill each, and knows what each must come to.
func TestOwnersChecks(t *testing.T) {
	c := recovered(t)
	t.Setenv("SLACK_URL", "https://hooks.example.org/hunter2")
	script := filepath.Join(c.Dir, "probe")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ -s \"$BACKSTAY_DSN\" ] && [ \"$BACKSTAY_SOURCE\" = app ] && [ \"$BACKSTAY_TARGET\" = latest ] && [ -d \"$BACKSTAY_SCRATCH\" ] && pwd && exit ${1:-0}\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "other.db")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	count := "select count(*) from orders"
	for name, q := range map[string]struct {
		Question
		verdict Verdict
		says    string // in the check's detail
	}{
		"the value that is wanted":   {Question{SQL: count, Expect: "12"}, Proved, "gives 12"},
		"another value":              {Question{SQL: count, Expect: "13"}, CheckFailed, "gives 12, want 13"},
		"any value":                  {Question{SQL: "select max(item) from orders;"}, Proved, "gives item 9"},
		"a number with a fraction":   {Question{SQL: "select avg(id) from orders", Expect: "6.5"}, Proved, "6.5"},
		"0 is no good":               {Question{SQL: "select count(*) from orders where id > 99"}, CheckFailed, "gives 0, want any value"},
		"NULL is no good":            {Question{SQL: "select max(id) from orders where id > 99"}, CheckFailed, "gives NULL"},
		"no row":                     {Question{SQL: "select id from orders where id > 99"}, CheckFailed, "gives no row"},
		"two rows":                   {Question{SQL: "select id from orders", Expect: "1"}, CheckFailed, "more than one row"},
		"two columns":                {Question{SQL: "select 1, 2", Expect: "1"}, CheckFailed, "2 columns"},
		"a table that is gone":       {Question{SQL: "select count(*) from customers"}, CheckFailed, "no such table"},
		"no query at all":            {Question{SQL: "selekt 1"}, CheckFailed, "syntax error"},
		"a query that writes":        {Question{SQL: "delete from orders returning 1"}, CheckFailed, "readonly"},
		"a query of another file":    {Question{SQL: "attach '" + outside + "' as other"}, CheckFailed, "attached"},
		"a query that hangs":         {Question{SQL: "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n", Limit: time.Second / 2}, EnvironmentBad, "longer than 500ms"},
		"a database that is not":     {Question{SQL: count, Database: "shop"}, EnvironmentBad, `find database "shop"`},
		"a command":                  {Question{Command: []string{"./probe"}}, Proved, "ended with 0"},
		"a command that says no":     {Question{Command: []string{"./probe", "3"}}, CheckFailed, "exit status 3, want 0: " + c.Dir},
		"a command that is not":      {Question{Command: []string{"./none"}}, EnvironmentBad, "no such file"},
		"a program that is not":      {Question{Command: []string{"there-is-no-such-program"}}, EnvironmentBad, "not found"},
		"a shell that finds none":    {Question{Command: []string{"sh", "-c", "there-is-no-such-program"}}, EnvironmentBad, "ended with 127"},
		"a command that cannot now":  {Question{Command: []string{"sh", "-c", "exit 75"}}, EnvironmentBad, "could not ask now"},
		"a command that is killed":   {Question{Command: []string{"sh", "-c", "kill -9 $$"}}, EnvironmentBad, "somebody ended it"},
		"a command that crashes":     {Question{Command: []string{"sh", "-c", "kill -SEGV $$"}}, CheckFailed, "segmentation"},
		"a command that hangs":       {Question{Command: []string{"sh", "-c", "echo waiting; sleep 300"}, Limit: time.Second / 2}, EnvironmentBad, "longer than 500ms"},
		"a command with children":    {Question{Command: []string{"sh", "-c", "sleep 300 & echo gone"}}, Proved, "ended with 0"},
		"a command that writes":      {Question{Command: []string{"sh", "-c", `echo x > "$BACKSTAY_DSN"; mktemp >/dev/null; touch "$BACKSTAY_SCRATCH/file"`}}, Proved, "ended with 0"},
		"a command that tells":       {Question{Command: []string{"sh", "-c", "env; echo password=hunter2; exit 1"}}, CheckFailed, "exit status 1"},
		"a command that talks a lot": {Question{Command: []string{"sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line $i xxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done; exit 1"}}, CheckFailed, "line 2999"},
	} {
		t.Run(name, func(t *testing.T) {
			c := c
			c.Questions = []Question{q.Question}
			began := time.Now()
			r, err := Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			got := r.Checks[len(r.Checks)-1]
			if r.Verdict != q.verdict || !got.Owner || !strings.Contains(got.Detail, q.says) || got.Want != q.Expect {
				t.Errorf("%s\n%+v\nwant %s, %q", r, got, q.verdict, q.says)
			}
			if got.OK != (q.verdict == Proved) || (got.Unasked != "") != (q.verdict == EnvironmentBad) || r.Lost != "" {
				t.Errorf("check %+v", got)
			}
			if strings.Contains(string(r.Signed), "hunter2") || len(got.Output) > maxOutput+10 {
				t.Errorf("the report holds %q", got.Output)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
			requireEmpty(t, c.Scratch)
		})
	}
}

// TestOwnersChecksInOneDrill: all are asked, queries before commands; what fails goes before what could not be asked.
func TestOwnersChecksInOneDrill(t *testing.T) {
	c := recovered(t)
	c.Questions = []Question{
		{Name: "breaks it", Command: []string{"sh", "-c", `: > "$BACKSTAY_DSN"`}},
		{Name: "missing", Command: []string{"./none"}},
		{Name: "orders", SQL: "select count(*) from orders", Expect: "12"},
	}
	r, err := Run(t.Context(), c)
	if err != nil || r.Verdict != EnvironmentBad || !strings.Contains(r.Reason, "missing: ") || strings.Contains(r.Reason, "orders") {
		t.Fatalf("%s, %v", r, err)
	}
	var names []string
	for _, check := range r.Checks {
		if check.Owner {
			names = append(names, check.Name)
		}
	}
	if got := strings.Join(names, ", "); got != "orders, breaks it, missing" {
		t.Errorf("asked in the order %s", got)
	}
	c.Questions[2].Expect = "13"
	if r, err = Run(t.Context(), c); err != nil || r.Verdict != CheckFailed || strings.Contains(r.Reason, "missing") {
		t.Errorf("%s, %v", r, err)
	}
	read, _, err := VerifyReport(r.Signed, []string{c.Signer.(interface{ Verifier() string }).Verifier()})
	if err != nil || read.Verdict != CheckFailed || len(read.Checks) != len(r.Checks) || read.Checks[3] != r.Checks[3] {
		t.Errorf("read %+v, %v", read, err)
	}
}

// TestOwnersChecksEndWithTheDrill: a drill that is cancelled ends what its command started.
func TestOwnersChecksEndWithTheDrill(t *testing.T) {
	c := recovered(t)
	begun := filepath.Join(c.Dir, "begun")
	c.Questions = []Question{{Command: []string{"sh", "-c", "touch " + begun + "; sleep 300 & sleep 300"}}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(begun); err == nil {
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if _, err := Run(ctx, c); err == nil || ctx.Err() == nil {
		t.Errorf("error %v", err)
	}
	requireEmpty(t, c.Scratch)
}

func TestDamageGoesBeforeTheOwnersQuestions(t *testing.T) {
	w := newWorld()
	c := w.config(t)
	c.Engine = meddling{}
	c.Questions = []Question{{Command: []string{"true"}}}
	r, err := Run(t.Context(), c)
	if err != nil || r.Verdict != BackupBad || len(r.Checks) != 2 {
		t.Errorf("%s %+v, %v", r, r.Checks, err)
	}
	c.Engine = newWorld().config(t).Engine
	if r, err = Run(t.Context(), c); err != nil || r.Verdict != EnvironmentBad || !strings.Contains(r.Reason, "answers no questions") {
		t.Errorf("an engine that cannot be asked: %s, %v", r, err)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	for text, want := range map[string]string{
		"connect postgres://me:hunter2@db/shop":         "connect postgres://me:•••@db/shop",
		"PGPASSWORD=hunter2 psql":                       "PGPASSWORD=••• psql",
		`{"api_key": "hunter2", "n": 1}`:                `{"api_key": "•••", "n": 1}`,
		"Authorization: Bearer hunter2":                 "Authorization: Bearer •••",
		"AGE-SECRET-KEY-1HUNTER2":                       "AGE-SECRET-KEY-•••",
		"12 orders at 10:15, ratio 3:4, see https://x/": "12 orders at 10:15, ratio 3:4, see https://x/",
	} {
		if got := masked(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
