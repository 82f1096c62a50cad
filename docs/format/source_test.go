package format_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	_ "modernc.org/sqlite"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/sqlite"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
)

// commits is how many the log holds; bundles of the ledger hold 256 leaves, so that some leaves are in one.
const commits = 290

// source is the database that was protected.
type source struct {
	t       *testing.T
	db      *sql.DB
	repo    *repository.Repository
	atBase  string // its content when the newest base was taken
	atEnd   string
	mu      sync.Mutex
	pieces  []engine.Piece // shipped and not sealed yet
	shipped int            // commits
	path    string
	last    history.Position // that was sealed
}

// protect keeps the history of a database in s: two bases, enough small segments that a bundle
// of the ledger is full, condensed ones, and a tip with a commit in parts. The reader's key goes into dir.
func protect(t *testing.T, s store.Store, dir string) *source {
	t.Helper()
	p := open(t, filepath.Join(t.TempDir(), "app.db"))
	p.repo = create(t, s, dir)
	src, err := sqlite.Engine{}.Connect(t.Context(), "sqlite:"+p.path, engine.Options{Name: "app", StateDir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = src.Close() })
	bookmark := p.base(src, history.Position{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- src.Follow(ctx, bookmark, p.ship) }()
	p.write(src)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	p.atEnd = p.content()
	return p
}

// open makes the database.
func open(t *testing.T, path string) *source {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	p := &source{t: t, db: db, path: path}
	p.exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT, note BLOB)")
	p.exec("INSERT INTO orders (note) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 40) SELECT randomblob(5000) FROM n")
	return p
}

// create makes the repository and its key.
func create(t *testing.T, s store.Store, dir string) *repository.Repository {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "backstay.key"), []byte("# the reader's key\n"+id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := ledger.NewSigner("host")
	if err != nil {
		t.Fatal(err)
	}
	repo, err := repository.Create(t.Context(), s, repository.CreateOptions{Source: "app", Engine: "sqlite", Signer: signer,
		Readers: []repository.Reader{{Name: "backstay.key", Recipient: id.Recipient().String()}}})
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// write commits, and keeps what was shipped in all the forms that a repository has.
func (p *source) write(src engine.Source) {
	p.t.Helper()
	for i := range commits {
		p.exec("INSERT INTO orders (item) VALUES (?)", fmt.Sprintf("item %d", i))
		if i < commits-20 {
			p.await(i + 1)
			p.append(false)
		}
	}
	p.await(commits)
	p.append(true)
	p.base(src, p.last)
	for i := range 20 {
		p.exec("UPDATE orders SET item = ? WHERE id % 3 = 0", fmt.Sprintf("changed %d times", i))
	}
	p.await(commits + 20)
	p.append(true)
	p.late()
	p.await(commits + 24)
	p.tip()
}

// late commits four times: large, gone, moved, and changed.
func (p *source) late() {
	p.t.Helper()
	p.exec("INSERT INTO orders (note) VALUES (zeroblob(300000)), (randomblob(3000000))")
	p.exec("DELETE FROM orders WHERE id % 7 = 0")
	p.exec("VACUUM")
	p.exec("UPDATE orders SET item = 'late' WHERE id % 9 = 0")
}

func (p *source) exec(query string, args ...any) {
	p.t.Helper()
	if _, err := p.db.ExecContext(p.t.Context(), query, args...); err != nil {
		p.t.Fatal(err)
	}
}

// base takes a base and remembers what it must hold.
func (p *source) base(src engine.Source, after history.Position) engine.Bookmark {
	p.t.Helper()
	w, err := p.repo.NewBase(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	p.atBase = p.content()
	result, err := src.TakeBase(p.t.Context(), engine.BaseOptions{After: after}, w)
	if err == nil {
		_, err = w.Commit(p.t.Context(), result.Base)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return result.Bookmark
}

// ship is an engine.Ship.
func (p *source) ship(_ context.Context, pieces []engine.Piece) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, piece := range pieces {
		if len(piece.Data) > 0 {
			piece.Data = bytes.Clone(piece.Data)
			p.pieces = append(p.pieces, piece)
		}
		p.shipped += len(piece.Marks)
	}
	return nil
}

// await waits until n commits were shipped.
func (p *source) await(n int) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		p.mu.Lock()
		shipped := p.shipped
		p.mu.Unlock()
		if shipped >= n {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("captured %d of %d commits", shipped, n)
		}
	}
}

// append seals what was shipped as a segment.
func (p *source) append(condensed bool) {
	p.t.Helper()
	sealed, open := p.seal(condensed)
	if _, err := p.repo.AppendSegment(p.t.Context(), sealed, open, history.Moment{Position: sealed.Segment.To, Time: sealed.Segment.Until}); err != nil {
		p.t.Fatal(err)
	}
}

// tip seals it as a tip.
func (p *source) tip() {
	p.t.Helper()
	sealed, open := p.seal(false)
	if _, err := p.repo.PutTip(p.t.Context(), sealed, open, nil, history.Moment{Position: sealed.Segment.To, Time: sealed.Segment.Until}); err != nil {
		p.t.Fatal(err)
	}
}

// partBytes is how large the parts of a log file are here, so that large commits have more than one.
const partBytes = 1 << 20

func (p *source) seal(condensed bool) (pack.Sealed, func() (io.ReadCloser, error)) {
	p.t.Helper()
	p.mu.Lock()
	pieces := p.pieces
	p.pieces = nil
	p.mu.Unlock()
	first, last := pieces[0], pieces[len(pieces)-1]
	spec := pack.SegmentSpec{Segment: history.Segment{From: first.From, To: last.To, Since: first.Since, Until: last.Until}}
	var entries []pack.SegmentEntry
	if condensed {
		entries = append(entries, p.condense(pieces))
	}
	var marks []history.Mark
	for _, piece := range pieces {
		for at := 0; at < len(piece.Data); at += partBytes {
			part := piece.Data[at:min(at+partBytes, len(piece.Data))]
			entries = append(entries, pack.SegmentEntry{File: piece.File, Offset: piece.Offset + int64(at), Size: int64(len(part)), Open: reader(part)})
		}
		marks = append(marks, piece.Marks...)
	}
	spec.Entries, spec.Marks, spec.Segment.Commits = slices.Values(entries), slices.Values(marks), int64(len(marks))
	var object bytes.Buffer
	sealed, err := pack.SealSegment(p.t.Context(), &object, p.repo.Sealer(), spec)
	if err != nil {
		p.t.Fatal(err)
	}
	p.last = last.To
	return sealed, reader(object.Bytes())
}

// condense makes the one file that stands for all others; each piece is a whole file.
func (p *source) condense(pieces []engine.Piece) pack.SegmentEntry {
	p.t.Helper()
	var files []engine.CondenseFile
	for _, piece := range pieces {
		files = append(files, engine.CondenseFile{Name: piece.File, Open: reader(piece.Data)})
	}
	var all bytes.Buffer
	name, err := sqlite.Engine{}.Condense(p.t.Context(), files, &all)
	if err != nil || name == "" {
		p.t.Fatalf("condensed into %q: %v", name, err)
	}
	return pack.SegmentEntry{File: name, Size: int64(all.Len()), Condensed: true, Open: reader(all.Bytes())}
}

func reader(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

// content is the whole database as SQL, by the same program that reads what the page gives.
func (p *source) content() string {
	p.t.Helper()
	return dump(p.t, p.path)
}

func dump(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sqlite3", path, ".dump").CombinedOutput()
	if err != nil {
		t.Fatalf("dump %s: %v: %.300s", path, err, out)
	}
	return string(out)
}

// compare holds what the page gave in dir against what was there.
func (p *source) compare(t *testing.T, dir string) {
	t.Helper()
	if p.atBase == p.atEnd || len(p.atEnd) < 1<<20 {
		t.Fatal("the log changed nothing")
	}
	if dump(t, filepath.Join(dir, "hand/base.db")) != p.atBase {
		t.Error("the base does not hold what the database held")
	}
	if dump(t, filepath.Join(dir, "hand/data/app.db")) != p.atEnd {
		t.Error("base and log together do not hold what the database held")
	}
}
