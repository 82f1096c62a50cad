package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/recovery"
)

func TestEveryCommandKeepsThePromisesOfTheTable(t *testing.T) {
	root := newRoot(newConsole(&bytes.Buffer{}, &bytes.Buffer{}))
	for _, e := range table() {
		cmd, rest, err := root.Find(e.words())
		if err != nil || len(rest) > 0 {
			t.Errorf("%s is not found: %v", e.path(), err)
			continue
		}
		if e.short == "" || e.long == "" || strings.HasSuffix(e.short, ".") {
			t.Errorf("%s: short %q, long %q", e.path(), e.short, e.long)
		}
		if e.make != nil && e.example == "" {
			t.Errorf("%s has no example", e.path())
		}
		if got := cmd.Flags().Lookup("json") != nil; got != e.lists {
			t.Errorf("%s: --json %v, the table says %v", e.path(), got, e.lists)
		}
		if got := cmd.Flags().Lookup("dry-run") != nil; got != e.changes {
			t.Errorf("%s: --dry-run %v, the table says %v", e.path(), got, e.changes)
		}
		if e.parent() == "" && !e.hidden && e.group == "" {
			t.Errorf("%s is in no group", e.path())
		}
	}
}

func TestReferenceIsUpToDate(t *testing.T) {
	for _, p := range reference(newRoot(newConsole(&bytes.Buffer{}, &bytes.Buffer{}))) {
		published, err := os.ReadFile(filepath.Join("../../docs/reference", p.name))
		if err != nil {
			t.Fatalf("%v; run make docs", err)
		}
		if diff := cmp.Diff(string(published), p.text); diff != "" {
			t.Errorf("docs/reference/%s is old; run make docs\n%s", p.name, diff)
		}
	}
}

func TestEveryJSONFieldIsDocumented(t *testing.T) {
	for line := range strings.Lines(jsonPage()) {
		if strings.HasPrefix(line, "| `") && strings.Contains(line, "|  |") {
			t.Errorf("no meaning: %s", line)
		}
	}
}

func TestExitCodesComeFromOneTable(t *testing.T) {
	known := map[int]bool{}
	for _, e := range exits {
		if known[e.code] {
			t.Errorf("code %d stands there twice", e.code)
		}
		known[e.code] = true
	}
	for want, err := range map[int]error{
		exitSource:      fmt.Errorf("x: %w", &app.SourceError{Err: fs.ErrNotExist}),
		exitKey:         &app.SourceError{Err: &app.KeyError{Err: fs.ErrNotExist}},
		exitBusy:        fmt.Errorf("x: %w", &app.BusyError{}),
		exitDamage:      fmt.Errorf("x: %w", &recovery.DamageError{Err: fs.ErrNotExist}),
		exitStore:       fmt.Errorf("x: %w", &app.StoreError{Err: fs.ErrPermission}),
		exitConfig:      fmt.Errorf("x: %w", &config.Error{}),
		exitUnreachable: fmt.Errorf("x: %w", &history.UnreachableError{}),
		exitNotFound:    fmt.Errorf("x: %w", fs.ErrNotExist),
		exitEnvironment: fmt.Errorf("x: %w", &os.PathError{Err: syscall.ENOSPC}),
		exitInterrupted: fmt.Errorf("x: %w", context.Canceled),
		exitUsage:       fmt.Errorf("x: %w", &usageError{err: errors.New("y")}),
		exitFailed:      errors.New("x"),
	} {
		if got := exitCode(err); got != want || !known[got] {
			t.Errorf("%v: code %d, want %d", err, got, want)
		}
	}
}

func TestErrorsCarryHints(t *testing.T) {
	var out, errs bytes.Buffer
	code := Main(t.Context(), []string{"protekt"}, &out, &errs)
	want := "error: unknown command \"protekt\"\nhint: did you mean protect?\n"
	if code != exitUsage || errs.String() != want || out.Len() > 0 {
		t.Errorf("code %d, %q, %q", code, errs.String(), out.String())
	}
}

func TestProgressIsDrawnOnTerminalsOnly(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for _, tty := range []bool{false, true} {
		var errs bytes.Buffer
		c := newConsole(&bytes.Buffer{}, &errs)
		c.tty, c.now, c.width = tty, func() time.Time { return now }, 120
		p := c.progress("lay base")
		now = now.Add(logEvery)
		p.update(500e6, 2000e6)
		p.end()
		got := errs.String()
		if tty && got != "\r\x1b[Klay base [=====               ]  25 %, 500 MB of 2.0 GB, 100 MB/s, 15 s left\r\x1b[K" {
			t.Errorf("terminal: %q", got)
		}
		if !tty && !strings.HasSuffix(got, " lay base: 25 %, 500 MB of 2.0 GB, 100 MB/s, 15 s left\n") {
			t.Errorf("log: %q", got)
		}
	}
}

func TestNoColor(t *testing.T) {
	c := newConsole(&bytes.Buffer{}, &bytes.Buffer{})
	if got := c.paint("31", "error:"); got != "error:" {
		t.Errorf("colour outside a terminal: %q", got)
	}
	c.color = true
	if got := c.paint("31", "error:"); got != "\x1b[31merror:\x1b[0m" {
		t.Errorf("no colour: %q", got)
	}
}

func TestLogLines(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(&lineHandler{w: &b, level: slog.LevelInfo}).With("source", "app").WithGroup("g")
	log.Warn("it is slow", "why", "two words", "n", 3)
	log.Debug("nobody sees this")
	if _, line, _ := strings.Cut(b.String(), " "); line != "warn: it is slow source=app g.why=\"two words\" g.n=3\n" {
		t.Errorf("got %q", b.String())
	}
}

func TestWords(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 9960: "10 kB", 1.5e9: "1.5 GB", 999.6e6: "1.0 GB"} {
		if got := size(n); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-time.Second: "0 s", 250 * time.Millisecond: "250 ms", 1500 * time.Millisecond: "1.5 s", 90 * time.Second: "90 s", 90 * time.Minute: "90 min", 72 * time.Hour: "3 days"} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestCompareFindsWhatIsWrong(t *testing.T) {
	at := time.Now()
	ledger := []shopEvent{{Commit: 1, Order: &order{ID: 1, Item: "tea"}, Committed: at}, {Commit: 2, Order: &order{ID: 2, Item: "pen"}, Committed: at}}
	all := func(shopEvent) bool { return true }
	first := func(e shopEvent) bool { return e.Commit < 2 }
	tea, pen := order{ID: 1, Item: "tea"}, order{ID: 2, Item: "pen"}
	if n, err := compare([]order{tea, pen}, ledger, all, all); n != 2 || err != nil {
		t.Errorf("equal: %d, %v", n, err)
	}
	for name, c := range map[string]struct {
		rows      []order
		must, may func(shopEvent) bool
	}{
		"lost":    {[]order{tea}, all, all},
		"late":    {[]order{tea, pen}, first, first},
		"altered": {[]order{{ID: 1, Item: "rope"}, pen}, all, all},
		"made up": {[]order{tea, pen, {ID: 3}}, all, all},
		"twice":   {[]order{tea, tea, pen}, all, all},
	} {
		if _, err := compare(c.rows, ledger, c.must, c.may); err == nil {
			t.Errorf("%s is not noticed", name)
		}
	}
}

func TestCompletionOffersTheSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "backstay.yaml")
	text := "repositories: { local: { store: ./repo } }\nsources: { crm: { url: \"sqlite:./crm.db\", repositories: [local] }, shop: { url: \"sqlite:./shop.db\", repositories: [local] } }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"restore"}, {"status"}, {"key", "add"}} {
		var out, errs bytes.Buffer
		args := append(append([]string{"__complete"}, command...), "--config", file, "")
		if code := Main(t.Context(), args, &out, &errs); code != 0 || !strings.HasPrefix(out.String(), "crm\nshop\n") {
			t.Errorf("%v: %d, %q", command, code, out.String())
		}
	}
}
