package repository_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/local"
	"github.com/backstaydb/backstay/internal/store/mem"
)

var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// world is a repository, the keys that belong to it, and a clock.
type world struct {
	store  store.Store
	repo   *repository.Repository // without a reader's key, as a host that only backs up has it
	signer *ledger.Signer
	reader *age.X25519Identity
	now    time.Time
	seq    uint64 // the newest position
}

func (w *world) clock() time.Time { return w.now }

func newSigner(t *testing.T, name string) *ledger.Signer {
	t.Helper()
	s, err := ledger.NewSigner(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newWorld(t *testing.T, s store.Store) *world {
	t.Helper()
	w := &world{store: s, signer: newSigner(t, "db1"), reader: newIdentity(t), now: start}
	var err error
	w.repo, err = repository.Create(t.Context(), s, repository.CreateOptions{Source: "app", Engine: "sqlite", SystemID: "id1",
		Readers: []repository.Reader{{Name: "anna", Recipient: w.reader.Recipient().String()}}, Signer: w.signer, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// open opens the repository with the reader's key.
func (w *world) open(t *testing.T, change func(*repository.Options)) *repository.Repository {
	t.Helper()
	r, err := w.tryOpen(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) tryOpen(ctx context.Context, change func(*repository.Options)) (*repository.Repository, error) {
	o := repository.Options{Source: "app", Identities: []age.Identity{w.reader}, Now: w.clock}
	if change != nil {
		change(&o)
	}
	return repository.Open(ctx, w.store, o)
}

// content is what the base holds.
var content = map[string][]byte{
	"app.db":   random(700_000, 1),
	"notes":    []byte("small"),
	"empty":    nil,
	"sub/file": random(200_000, 2),
}

// random gives n bytes that do not compress.
func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(n)}).Read(b) // never fails
	return b
}

func (w *world) takeBase(t *testing.T) history.Base {
	t.Helper()
	b, err := takeBase(t.Context(), w.repo, w.seq, w.now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func takeBase(ctx context.Context, r *repository.Repository, seq uint64, now time.Time) (history.Base, error) {
	b, err := r.NewBase(ctx)
	if err != nil {
		return history.Base{}, err
	}
	defer b.Abort()
	var names []string
	for name := range content {
		names = append(names, name)
	}
	slices.Sort(names)
	if err := b.Put(ctx, engine.File{Name: "sub", Mode: fs.ModeDir | 0o700, ModTime: start}, nil); err != nil {
		return history.Base{}, err
	}
	for _, name := range names {
		f := engine.File{Name: name, Mode: 0o600, Size: int64(len(content[name])), ModTime: start}
		if err := b.Put(ctx, f, bytes.NewReader(content[name])); err != nil {
			return history.Base{}, err
		}
	}
	at := history.At(1, seq)
	return b.Commit(ctx, history.Base{Type: history.Full, SystemID: "id1", Start: at, Stop: at, StartTime: now, StopTime: now})
}

// seal makes the segment that follows the newest position.
func (w *world) seal(t *testing.T, from, to uint64, size int) (pack.Sealed, []byte) {
	t.Helper()
	sealed, object, err := seal(t.Context(), w.repo.Sealer(), from, to, size)
	if err != nil {
		t.Fatal(err)
	}
	return sealed, object
}

func at(seq uint64) time.Time { return start.Add(time.Duration(seq) * time.Second) }

func seal(ctx context.Context, sealer pack.SegmentSealer, from, to uint64, size int) (pack.Sealed, []byte, error) {
	var entries []pack.SegmentEntry
	var marks []history.Mark
	for seq := from + 1; seq <= to; seq++ {
		data := logFile(seq, size)
		entries = append(entries, pack.SegmentEntry{File: fmt.Sprintf("%016x.ltx", seq), Size: int64(len(data)),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
		marks = append(marks, history.Mark{Position: history.At(1, seq), Time: at(seq)})
	}
	var buf bytes.Buffer
	sealed, err := pack.SealSegment(ctx, &buf, sealer, pack.SegmentSpec{
		Segment: history.Segment{From: history.At(1, from), To: history.At(1, to), Since: at(from), Until: at(to), Commits: int64(to - from)},
		Entries: slices.Values(entries), Marks: slices.Values(marks)})
	return sealed, buf.Bytes(), err
}

func logFile(seq uint64, size int) []byte { return random(size, 1000+seq) }

func opener(object []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(object)), nil }
}

func moment(seq uint64) history.Moment {
	return history.Moment{Position: history.At(1, seq), Time: at(seq)}
}

// appendSegment adds n commits as one segment.
func (w *world) appendSegment(t *testing.T, n uint64, size int) repository.Receipt {
	t.Helper()
	sealed, object := w.seal(t, w.seq, w.seq+n, size)
	r, err := w.repo.AppendSegment(t.Context(), sealed, opener(object), moment(w.seq+n))
	if err != nil {
		t.Fatal(err)
	}
	w.seq += n
	return r
}

// putTip adds n commits as a tip.
func (w *world) putTip(t *testing.T, from, to uint64, replaces ...string) repository.Receipt {
	t.Helper()
	sealed, object := w.seal(t, from, to, 100)
	r, err := w.repo.PutTip(t.Context(), sealed, opener(object), replaces, moment(to))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// stores are the stores that everything is tested on.
func stores(t *testing.T) map[string]store.Store {
	return map[string]store.Store{"mem": mem.New(), "local": local.New(t.TempDir())}
}

func onEveryStore(t *testing.T, test func(t *testing.T, s store.Store)) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

func count(t *testing.T, s store.Store, prefix string) int {
	t.Helper()
	n := 0
	if err := s.List(t.Context(), prefix, func(store.Object) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func facts(t *testing.T, r *repository.Repository) repository.Facts {
	t.Helper()
	f, err := r.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func segmentNames(h history.History) string {
	var names []string
	for _, s := range h.Segments {
		name := fmt.Sprintf("%d-%d", s.From.Seq, s.To.Seq)
		if s.Tip {
			name += "t"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}
