package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// book takes log as an archive does, and checks each piece against the contract. It survives the source.
type book struct {
	mu        sync.Mutex
	bookmark  engine.Bookmark
	bookmarks []engine.Bookmark // after each piece that moved
	files     map[string]*bookFile
	marks     []history.Mark
	forks     []history.Fork
	since     time.Time        // of the last fork
	said      []history.Moment // what each piece said to be whole
	idle      int
	parted    bool
	fail      error
	gate      chan struct{} // non-nil: ship waits until it is closed
	pause     time.Duration // of each ship
}

// bookFile is what was shipped of one file, from one offset on.
type bookFile struct {
	offset int64
	data   []byte
}

func newBook(from engine.Bookmark) *book {
	return &book{bookmark: from, files: map[string]*bookFile{}}
}

func (b *book) ship(ctx context.Context, pieces []engine.Piece) error {
	b.mu.Lock()
	gate, pause := b.gate, b.pause
	b.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	time.Sleep(pause)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	for _, p := range pieces {
		if err := b.take(p); err != nil {
			return fmt.Errorf("piece %s to %s of %s: %w", p.From, p.To, p.File, err)
		}
	}
	return nil
}

func (b *book) take(p engine.Piece) error {
	from := b.bookmark.Position
	if f := p.Fork; f != nil {
		if f.At.Timeline != from.Timeline || f.Child <= from.Timeline || p.From.Timeline != f.Child || p.From.Seq != f.At.Seq {
			return fmt.Errorf("fork %+v behind %s", *f, from)
		}
		from = p.From
		b.forks, b.since = append(b.forks, *f), p.Since
	}
	switch {
	case !p.From.Equal(from):
		return fmt.Errorf("begins at %s, the piece before ended at %s", p.From, from)
	case p.To.Before(p.From) || p.Until.Before(p.Since):
		return errors.New("goes backwards")
	case p.Fork != nil && p.Since.After(b.bookmark.Time), p.Fork == nil && !p.Since.Equal(b.bookmark.Time):
		return fmt.Errorf("since %s, the piece before ended at %s", p.Since, b.bookmark.Time)
	case len(p.Token) == 0:
		return errors.New("has no token")
	case b.parted && len(p.Data) == 0:
		return errors.New("comes inside of a record")
	}
	if err := b.takeMarks(p); err != nil {
		return err
	}
	if err := b.takeData(p); err != nil {
		return err
	}
	b.bookmark = engine.Bookmark{Position: p.To, Token: bytes.Clone(p.Token), Time: p.Until}
	b.said = append(b.said, history.Moment{Position: p.To, Time: p.Until})
	if p.From.Before(p.To) {
		b.bookmarks = append(b.bookmarks, b.bookmark)
	}
	return nil
}

func (b *book) takeMarks(p engine.Piece) error {
	last := history.Mark{Position: p.From, Time: p.Since}
	for i, m := range p.Marks {
		if !last.Position.Before(m.Position) || m.Time.Before(last.Time) || i == 0 && !m.Time.After(p.Since) {
			return fmt.Errorf("mark %s at %s comes after %s at %s", m.Position, m.Time, last.Position, last.Time)
		}
		last = m
	}
	if p.To.Before(last.Position) || last.Time.After(p.Until) {
		return fmt.Errorf("the last mark is %s at %s", last.Position, last.Time)
	}
	b.marks = append(b.marks, slices.Clone(p.Marks)...)
	return nil
}

func (b *book) takeData(p engine.Piece) error {
	b.parted = len(p.Data) > 0 && p.From.Equal(p.To) && !p.Complete
	if len(p.Data) == 0 {
		if !p.From.Equal(p.To) {
			return errors.New("moves without data")
		}
		b.idle++
		return nil
	}
	f := b.files[p.File]
	if f == nil {
		f = &bookFile{offset: p.Offset}
		b.files[p.File] = f
	}
	if f.offset+int64(len(f.data)) != p.Offset {
		return fmt.Errorf("data at %d, %d was shipped before", p.Offset, f.offset+int64(len(f.data)))
	}
	f.data = append(f.data, p.Data...)
	return nil
}

func (b *book) at() engine.Bookmark {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bookmark
}

// hold makes ship wait until release is called.
func (b *book) hold() (release func()) {
	gate := make(chan struct{})
	b.mu.Lock()
	b.gate = gate
	b.mu.Unlock()
	return func() {
		b.mu.Lock()
		b.gate = nil
		b.mu.Unlock()
		close(gate)
	}
}

func (b *book) set(change func(*book)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

// mark gives the marks of a transaction.
func (b *book) mark(xid uint32) []history.Mark {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []history.Mark
	for _, m := range b.marks {
		if m.XID == uint64(xid) {
			found = append(found, m)
		}
	}
	return found
}

// waitLimit is how long a test waits for a fact.
const waitLimit = 20 * time.Second

// settled waits until all that was committed up to now is in the book.
func (b *book) settled(t *testing.T) {
	t.Helper()
	now := time.Now()
	enginetest.Until(t, waitLimit, "the log to be whole", func() bool { return b.at().Time.After(now) })
}

// holds compares the book with the server's own files, from where each file was begun up to the position.
func (b *book) holds(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	compared := 0
	for name, f := range b.files {
		own, err := os.ReadFile(filepath.Join(c.Dir, "pg_wal", name))
		if err != nil {
			t.Errorf("the server does not have %s: %v", name, err)
			continue
		}
		if end := f.offset + int64(len(f.data)); end > int64(len(own)) || !bytes.Equal(f.data, own[f.offset:end]) {
			t.Errorf("%s from %d to %d is not as the server has it", name, f.offset, end)
		}
		compared += len(f.data)
	}
	if compared == 0 {
		t.Error("nothing was compared")
	}
}

// knows sees that each answered commit of the ledger has its mark, once, where and when it was made.
func (b *book) knows(t *testing.T, l *pgtest.Ledger) {
	t.Helper()
	byXID := map[uint64][]history.Mark{}
	b.mu.Lock()
	for _, m := range b.marks {
		byXID[m.XID] = append(byXID[m.XID], m)
	}
	b.mu.Unlock()
	n := 0
	for _, e := range l.Entries() {
		if !e.Acked {
			continue
		}
		n++
		m := byXID[uint64(e.XID)]
		if len(m) != 1 {
			t.Fatalf("transaction %d has %d marks", e.XID, len(m))
		}
		if at := wal.LSN(m[0].Position.Seq); at <= e.Before || at > e.After && e.After != 0 {
			t.Fatalf("transaction %d is marked at %s, it was logged between %s and %s", e.XID, at, e.Before, e.After)
		}
		if late := m[0].Time.Sub(e.Stamp); !e.Stamp.IsZero() && (late < 0 || late > 2*time.Second) {
			t.Fatalf("transaction %d is marked at %s, its stamp is %s", e.XID, m[0].Time, e.Stamp)
		}
	}
	if n == 0 {
		t.Fatal("the ledger is empty")
	}
}

// keepsItsWord sees that nothing was said to be whole while a commit was missing that had been answered by then.
func (b *book) keepsItsWord(t *testing.T, l *pgtest.Ledger) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	ends := map[uint64]history.Position{}
	for _, m := range b.marks {
		ends[m.XID] = m.Position
	}
	for _, e := range l.Entries() {
		end, ok := ends[uint64(e.XID)]
		if !e.Acked || !ok {
			continue
		}
		for _, said := range b.said {
			if said.Position.Before(end) && !said.Time.Before(e.Answered) {
				t.Fatalf("the log up to %s was said to be whole until %s; transaction %d ends at %s and was answered at %s", said.Position, said.Time, e.XID, end, e.Answered)
			}
		}
	}
}

// keepLog makes the server keep its old log, so that it can be compared.
func keepLog(version int) map[string]string {
	if version < 13 {
		return map[string]string{"wal_keep_segments": "4000"}
	}
	return map[string]string{"wal_keep_size": "4000MB"}
}

// connect connects with the right to replicate only.
func connect(t *testing.T, c *pgtest.Cluster) *Source {
	t.Helper()
	s, err := Engine{}.Connect(t.Context(), c.SocketURL(pgtest.Backup), engine.Options{Name: "Shop-1", StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.(*Source)
}

// here is a bookmark at the beginning of the file that the server writes now.
func here(t *testing.T, s *Source) engine.Bookmark {
	t.Helper()
	id, err := s.Identify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := wal.LSN(id.Position.Seq).SegmentStart(s.segmentSize)
	return engine.Bookmark{Position: position(id.Position.Timeline, at), Time: time.Now().Add(-time.Hour)}
}

// following follows in the background.
type following struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan error
}

func follow(t *testing.T, s *Source, b *book) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &following{t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { f.done <- s.Follow(ctx, b.at(), b.ship) }()
	t.Cleanup(cancel)
	return f
}

// wait gives what Follow returned.
func (f *following) wait() error {
	f.t.Helper()
	select {
	case err := <-f.done:
		return err
	case <-time.After(30 * time.Second):
		f.t.Fatal("Follow did not return within 30 s")
		return nil
	}
}

func (f *following) stop() {
	f.t.Helper()
	f.cancel()
	if err := f.wait(); !errors.Is(err, context.Canceled) {
		f.t.Fatalf("Follow returned %v after it was cancelled", err)
	}
}
