// Package script runs the whole binary as a person types it: transcripts in testdata, and the commands of docs/guide.
package script

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"

	"github.com/backstaydb/backstay/internal/cli"
	"github.com/backstaydb/backstay/internal/store/s3/s3test"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"backstay": func() { os.Exit(runBackstay()) },
		"sql":      func() { os.Exit(runSQL(os.Args[1], os.Args[2:])) },
	})
}

func TestScripts(t *testing.T) { run(t, "testdata", nil) }

// TestBucket runs the transcripts that need an S3 server.
func TestBucket(t *testing.T) {
	server := s3test.Start(t)
	run(t, "testdata/s3", append(server.Environ(), "STORE="+server.Bucket(t, "backups", false)))
}

func run(t *testing.T, dir string, env []string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, env...)
			e.Setenv("TZ", "UTC")
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "until": until},
	})
}

// exits runs a command and asserts its exit code: exits 4 backstay status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE command...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("run %s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s exits with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// until runs a command again and again until its standard output matches: until 'following' backstay status.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN command...")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if ts.Exec(args[1], args[2:]...) == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("%s never printed %s", strings.Join(args[1:], " "), args[0])
}

// runSQL is the application: it runs statements against a database file, one transaction each, and prints rows.
func runSQL(file string, statements []string) int {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return fail(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range statements {
		rows, err := db.Query(s)
		if err != nil {
			return fail(err)
		}
		for rows.Next() {
			var value string
			if err := rows.Scan(&value); err != nil {
				return fail(err)
			}
			fmt.Println(value)
		}
		if err := rows.Err(); err != nil {
			return fail(err)
		}
		rows.Close()
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// runBackstay is main of cmd/backstay, which a test cannot import.
func runBackstay() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
