package sqlite

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/history"
)

func TestConnectRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	header := append([]byte("SQLite format 3\x00\x10\x00\x02\x02"), make([]byte, 4096-20)...)
	for _, c := range []struct{ name, url, want string }{
		{"no scheme", "postgres://x", "does not begin with sqlite:"},
		{"no path", "sqlite:", "names no file"},
		{"memory", "sqlite::memory:", "in memory"},
		{"missing", "sqlite:" + dir + "/none.db", "no such file"},
		{"folder", "sqlite:" + dir, "is a folder"},
		{"text", "sqlite:" + write("text.db", strings.Repeat("not a database ", 400)), "not a SQLite database, or it is encrypted"},
		{"short", "sqlite:" + write("short.db", "SQLite format 3\x00"), "not a SQLite database"},
		{"damaged", "sqlite:" + write("damaged.db", string(header)), "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Engine{}.Connect(t.Context(), c.url, engine.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Connect: %v, want %q", err, c.want)
			}
			var hint interface{ Hint() string }
			if !errors.As(err, &hint) || hint.Hint() == "" {
				t.Errorf("Connect: %v: without a hint", err)
			}
		})
	}
}

func TestConnectLocked(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"delete", "wal"} {
		a := startApp(t, mode)
		a.tell(t, "sql PRAGMA locking_mode=EXCLUSIVE")
		a.tell(t, "sql UPDATE state SET n=n")
		a.tell(t, "sql BEGIN EXCLUSIVE")
		_, err := Engine{}.Connect(t.Context(), a.URL(), engine.Options{})
		var hint interface{ Hint() string }
		if err == nil || !strings.Contains(err.Error(), "locked") || !errors.As(err, &hint) {
			t.Errorf("%s: Connect: %v", mode, err)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real := filepath.Join(dir, "a b%20#?.db")
	for _, mode := range []string{"wal", "delete"} {
		os.Remove(real)
		db, err := sql.Open("sqlite", dsn(real, "_pragma=journal_mode("+mode+")"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("CREATE TABLE t(x)"); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(dir, mode+".db")
		if err := os.Symlink(real, link); err != nil {
			t.Skip(err)
		}
		s := connect(t, link)
		id, err := s.Identify(t.Context())
		if err != nil || id.Files[0] != real || len(id.Advice) == 0 || id.Bytes == 0 {
			t.Errorf("Identify: %+v, %v", id, err)
		}
		sink := &enginetest.Sink{}
		if _, err := s.TakeBase(t.Context(), engine.BaseOptions{}, sink); err != nil {
			t.Error(err)
		}
		if sink.Files[0].Name != "a b%20#?.db" {
			t.Errorf("the base names the file %q", sink.Files[0].Name)
		}
		s.Close()
		db.Close()
	}
}

// TestEmptyFile: an empty file is a database without pages, and becomes one in either mode.
func TestEmptyFile(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"delete", "wal"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app.db")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			r := &rig{app: &app{path: path, mode: mode}, state: t.TempDir()}
			r.connect(t)
			r.base(t, engine.BaseOptions{})
			if n := len(r.sink.Data["app.db"]); n != 0 {
				t.Fatalf("the base has %d bytes", n)
			}
			f := enginetest.Follow(t, r.src, r.rec)
			r.run(t)
			t.Cleanup(r.kill)
			r.Commit(t)
			enginetest.Settled(t, harness, r.rec)
			last := r.Commit(t).N
			enginetest.Settled(t, harness, r.rec)
			f.Stop()
			r.latest(t, last)
		})
	}
}

func TestEnableWAL(t *testing.T) {
	t.Parallel()
	a := startApp(t, "delete")
	a.Commit(t)
	if err := EnableWAL(t.Context(), a.path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(a.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if h, err := readHeader(f); err != nil || !h.wal {
		t.Errorf("header %+v, %v", h, err)
	}
	if a.Commit(t).N != 2 {
		t.Error("the application cannot go on")
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		text string
		seq  uint64
		ok   bool
		bad  bool
	}{{"txid:42", 42, true, false}, {"before-txid:42", 41, true, false}, {"before-txid:1", 0, true, true}, {"txid:x", 0, true, true}, {"lsn:0/1", 0, false, false}} {
		target, err := history.ParseTarget(c.text, now)
		if err != nil {
			t.Fatal(err)
		}
		r, ok, err := Engine{}.Resolve(target)
		if ok != c.ok || (err != nil) != c.bad || r.Position.Seq != c.seq {
			t.Errorf("Resolve(%s) = %+v, %v, %v", c.text, r, ok, err)
		}
	}
}

// TestStampAfterIdle: the first commit after a rest is stamped as quickly as those in a row.
func TestStampAfterIdle(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	f := enginetest.Follow(t, r.src, r.rec)
	starved := enginetest.Canary(t)
	var worst time.Duration
	rests := 3
	if testing.Short() {
		rests = 1
	}
	for range rests {
		time.Sleep(1500 * time.Millisecond)
		e := r.Commit(t)
		enginetest.Settled(t, harness, r.rec)
		marks, _ := r.rec.Marks()
		worst = max(worst, marks[len(marks)-1].Time.Sub(e.After))
	}
	f.Stop()
	if worst > 50*time.Millisecond+2*starved() {
		t.Errorf("a commit was stamped %s late", worst)
	}
}

// TestLockPage: the page over SQLite's lock bytes at 1 GiB holds no data and takes part in no checksum.
func TestLockPage(t *testing.T) {
	if !soak {
		t.Skip("writes and reads some GB: set BACKSTAY_SOAK")
	}
	r := &rig{app: startApp(t, "delete"), state: t.TempDir()}
	r.sql(t, "PRAGMA page_size=65536; VACUUM")
	r.sql(t, "PRAGMA journal_mode=WAL")
	r.sql(t, "PRAGMA wal_autocheckpoint=0")
	r.Commit(t)
	r.connect(t)
	r.base(t, engine.BaseOptions{})
	follow := enginetest.Follow(t, r.src, r.rec)
	r.sql(t, "CREATE TABLE big(b); INSERT INTO big VALUES(zeroblob(600000000)), (zeroblob(600000000))")
	last := r.Commit(t).N
	enginetest.Until(t, 60*time.Second, "the large transaction", func() bool { return r.src.Status().Position.Seq >= 4 })
	enginetest.Settled(t, harness, r.rec)
	second := &enginetest.Sink{}
	res, err := r.src.TakeBase(t.Context(), engine.BaseOptions{}, second)
	if err != nil {
		t.Fatal(err)
	}
	if res.Base.Bytes < 1<<30 {
		t.Fatalf("the base has only %d bytes", res.Base.Bytes)
	}
	follow.Stop()
	r.latest(t, last)
}
