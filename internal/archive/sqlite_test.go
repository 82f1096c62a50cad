package archive

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"
	_ "modernc.org/sqlite"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/sqlite"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
)

// TestSQLiteComesBack protects a real database under a writer that never stops, and brings back the end and the middle.
func TestSQLiteComesBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "app.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("create table t(n integer primary key, v text)"); err != nil {
		t.Fatal(err)
	}
	reader, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ledger.NewSigner("host")
	if err != nil {
		t.Fatal(err)
	}
	s := mustLocal(t, filepath.Join(dir, "store"))
	repo, err := repository.Create(t.Context(), s, repository.CreateOptions{Source: "app", Engine: "sqlite", Signer: signer,
		Readers: []repository.Reader{{Name: "r", Recipient: reader.Recipient().String()}}})
	if err != nil {
		t.Fatal(err)
	}
	e := sqlite.Engine{}
	config := Config{Source: "app", Engine: e, Dir: filepath.Join(dir, "spool"), SegmentBytes: 128 << 10,
		Repos: []Repo{{Name: "local", Open: func(context.Context) (*repository.Repository, error) { return repo, nil }}},
		Connect: func(ctx context.Context) (engine.Source, error) {
			return e.Connect(ctx, "sqlite:"+file, engine.Options{Name: "app", StateDir: filepath.Join(dir, "engine"), Log: slog.New(slog.DiscardHandler), Now: time.Now})
		}}
	n := 0
	write := func(rows int) {
		t.Helper()
		for range rows {
			n++
			if _, err := db.Exec("insert into t values(?, ?)", n, fmt.Sprintf("%0500d", n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	durable := func(a *Archive) { // each row is a commit, and the table one before the first base
		t.Helper()
		for range 2000 {
			if r := a.Status().Repositories; len(r) > 0 && r[0].Bases > 0 && r[0].Position.Seq > uint64(n) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("waited for %d rows: %+v", n, a.Status())
	}
	middle := 0
	for run := range 3 {
		a, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		durable(a)
		for began := time.Now(); !a.Status().Whole.Time.After(began); { // what is committed before it looks is a hole in time
			time.Sleep(10 * time.Millisecond)
		}
		for range 5 {
			write(100)
			time.Sleep(200 * time.Millisecond)
		}
		if run == 1 {
			if _, err := a.Backup(ctx); err != nil {
				t.Fatal(err)
			}
		}
		middle = n
		durable(a)
		st := a.Status().Repositories[0]
		if st.Error != nil || st.Durable.Commits < 100 || st.Durable.P99 > 5*time.Second {
			t.Errorf("%+v", st)
		}
		write(50)
		durable(a)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	r, err := repository.Open(t.Context(), s, repository.Options{Source: "app", Identities: []age.Identity{reader}})
	if err != nil {
		t.Fatal(err)
	}
	facts, err := r.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	restore := func(to history.Target) int {
		t.Helper()
		chain, err := facts.History.Chain(to)
		if err != nil {
			t.Fatal(err)
		}
		into := t.TempDir()
		b, err := r.OpenBase(t.Context(), chain.Base.ID)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if _, err := b.Extract(t.Context(), into, repository.ExtractOptions{}); err != nil {
			t.Fatal(err)
		}
		reached, err := e.Replay(t.Context(), into, r.OpenLog(chain.Segments), engine.Goal{Position: chain.Stop})
		if err != nil {
			t.Fatal(err)
		}
		back, err := sql.Open("sqlite", filepath.Join(into, reached.Files[0]))
		if err != nil {
			t.Fatal(err)
		}
		defer back.Close()
		var rows, last int
		if err := back.QueryRow("select count(*), max(n) from t").Scan(&rows, &last); err != nil || rows != last {
			t.Fatalf("%d rows up to %d, %v", rows, last, err)
		}
		return rows
	}
	if rows := restore(history.Target{Kind: history.Latest}); rows != n {
		t.Errorf("%d rows came back of %d", rows, n)
	}
	windows := facts.History.Windows()
	if len(windows) != 1 {
		t.Errorf("restarts split the window: %+v of %+v", windows, facts.History.Segments)
	}
	end := windows[len(windows)-1].End
	if rows := restore(history.Target{Kind: history.AtPosition, Position: history.At(end.Timeline, end.Seq-uint64(n-middle))}); rows != middle {
		t.Errorf("%d rows came back of %d", rows, middle)
	}
	full := 0
	for _, seg := range facts.History.Segments {
		if !seg.Tip {
			full++
		}
	}
	if full < 2 || len(facts.History.Bases) != 2 || len(facts.History.Gaps) != 0 {
		t.Errorf("%d full segments, bases %+v, gaps %+v, windows %+v", full, facts.History.Bases, facts.History.Gaps, windows)
	}
	if _, err := os.Stat(filepath.Join(dir, "spool", "sealed")); err != nil {
		t.Error(err)
	}
}
