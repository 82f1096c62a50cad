package sqlite

import (
	"bufio"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

// The test binary run with one of these is a program of its own.
const (
	appVariable      = "BACKSTAY_TEST_SQLITE_APP"
	followerVariable = "BACKSTAY_TEST_SQLITE_FOLLOWER"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(appVariable); path != "" {
		appMain(path, os.Getenv("BACKSTAY_TEST_MODE"))
		return
	}
	if path := os.Getenv(followerVariable); path != "" {
		followerMain(path, os.Getenv("BACKSTAY_TEST_STATE"))
		return
	}
	// Most tests wait for an application, for a second in which nothing happens, for a file to be synced.
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(max(6, runtime.GOMAXPROCS(0)))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// soak asks for the long forms.
var soak = os.Getenv("BACKSTAY_SOAK") != ""

// appMain is an application: it obeys lines on its standard input.
func appMain(path, mode string) {
	db, err := sql.Open("sqlite", dsn(path, "mode=rwc&_pragma=busy_timeout(20000)&_pragma=journal_mode("+mode+")&_pragma=synchronous(1)"))
	check(err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`CREATE TABLE IF NOT EXISTS state(id INTEGER PRIMARY KEY CHECK(id=1), n INTEGER, total INTEGER);
		INSERT OR IGNORE INTO state VALUES(1,0,0);
		CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, n INTEGER, body BLOB)`)
	check(err)
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for in.Scan() {
		switch command, argument, _ := strings.Cut(in.Text(), " "); command {
		case "commit":
			fmt.Println(appCommit(db))
		case "hang":
			tx, err := db.Begin()
			check(err)
			_, err = tx.Exec("PRAGMA cache_size=2")
			check(err)
			_, err = tx.Exec("UPDATE state SET n=n+1; UPDATE orders SET body=randomblob(300); INSERT INTO orders(n,body) SELECT 0, randomblob(3000) FROM orders")
			check(err)
			fmt.Println("hanging")
			for in.Scan() { // until the test is gone
			}
			os.Exit(1)
		case "sql":
			_, err := db.Exec(argument)
			check(err)
			fmt.Println("done")
		}
	}
	check(db.Close())
}

func appCommit(db *sql.DB) string {
	tx, err := db.Begin()
	check(err)
	size := []int{10, 300, 5000}[rand.IntN(3)]
	_, err = tx.Exec("UPDATE state SET n=n+1, total=total+?; INSERT INTO orders(n,body) SELECT n, randomblob(?) FROM state", size, size)
	check(err)
	if rand.IntN(4) == 0 {
		_, err = tx.Exec("UPDATE state SET total = total - (SELECT coalesce(sum(length(body)),0) FROM orders WHERE id%5=1); DELETE FROM orders WHERE id%5=1")
		check(err)
	}
	var n int
	check(tx.QueryRow("SELECT n FROM state").Scan(&n))
	before := time.Now()
	check(tx.Commit())
	return fmt.Sprintf("%d %d %d", n, before.UnixNano(), time.Now().UnixNano())
}

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// app is an application in a process of its own.
type app struct {
	path string
	mode string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
}

func startApp(t *testing.T, mode string) *app {
	t.Helper()
	a := &app{path: filepath.Join(t.TempDir(), "app.db"), mode: mode}
	a.run(t)
	t.Cleanup(func() { a.kill() })
	return a
}

func (a *app) run(t *testing.T) {
	t.Helper()
	a.cmd = exec.Command(os.Args[0])
	a.cmd.Env = append(os.Environ(), appVariable+"="+a.path, "BACKSTAY_TEST_MODE="+a.mode)
	a.cmd.Stderr = os.Stderr
	in, err := a.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.in, a.out = in, bufio.NewScanner(out)
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line := a.line(t); line != "ready" {
		t.Fatalf("application: %s", line)
	}
}

func (a *app) kill() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

// quit lets the application close its database.
func (a *app) quit(t *testing.T) {
	t.Helper()
	a.in.Close()
	if err := a.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

func (a *app) line(t *testing.T) string {
	if !a.out.Scan() {
		t.Errorf("application ended: %v", a.out.Err())
		return ""
	}
	return a.out.Text()
}

func (a *app) tell(t *testing.T, command string) string {
	fmt.Fprintln(a.in, command)
	return a.line(t)
}

func (a *app) URL() string { return "sqlite:" + a.path }

func (a *app) Commit(t *testing.T) enginetest.Entry {
	var n int
	var before, after int64
	line := a.tell(t, "commit")
	if _, err := fmt.Sscan(line, &n, &before, &after); err != nil {
		t.Errorf("application: %s", line)
	}
	return enginetest.Entry{N: n, Before: time.Unix(0, before), After: time.Unix(0, after)}
}

func (a *app) Crash(t *testing.T) {
	t.Helper()
	if line := a.tell(t, "hang"); line != "hanging" {
		t.Fatalf("application: %s", line)
	}
	a.kill()
	a.run(t)
}

// Break commits; in WAL mode the WAL then begins anew behind the back of whoever should have followed, else the page size changes.
func (a *app) Break(t *testing.T) {
	t.Helper()
	a.Commit(t)
	if a.mode == "wal" {
		a.tell(t, "sql PRAGMA wal_checkpoint(TRUNCATE)")
	} else {
		a.tell(t, "sql PRAGMA page_size=8192; VACUUM")
	}
	a.Commit(t)
}

func (a *app) Stands(t *testing.T, dir string, r engine.Reached) int {
	t.Helper()
	return stands(t, filepath.Join(dir, r.Files[0]))
}

// stands asks a restored database which change it stands at and whether it is whole.
func stands(t *testing.T, path string) int {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, "mode=ro&immutable=1"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n, total, sum int
	if err := db.QueryRow("SELECT n, total, (SELECT coalesce(sum(length(body)),0) FROM orders) FROM state").Scan(&n, &total, &sum); err != nil {
		t.Fatal(err)
	}
	if total != sum {
		t.Errorf("change %d: the rows have %d bytes, the ledger in the database says %d", n, sum, total)
	}
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("change %d: integrity_check: %s %v", n, verdict, err)
	}
	return n
}
