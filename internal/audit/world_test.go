package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/local"
)

var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// world is one host with an audit log in a folder.
type world struct {
	dir    string
	store  store.Store
	signer *ledger.Signer
	memory audit.Memory
	full   int64

	mu  sync.Mutex
	now time.Time
}

// remembered is a Memory without a file.
type remembered struct {
	mu   sync.Mutex
	seen audit.Seen
	ok   bool
}

func (m *remembered) Load() (audit.Seen, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen, m.ok, nil
}

func (m *remembered) Save(s audit.Seen) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen, m.ok = s, true
	return nil
}

// clock goes on by some time with every look, so that old checkpoints go as they do in life.
func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(1500 * time.Millisecond)
	return w.now
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	signer, err := ledger.NewSigner("db1.example.com")
	if err != nil {
		t.Fatal(err)
	}
	return &world{dir: dir, store: local.New(filepath.Join(dir, "log")), signer: signer,
		memory: &remembered{}, now: start, full: 600}
}

func (w *world) name() string { return audit.NameOf("DB1.example.com", w.signer) }

func (w *world) open(t *testing.T, change func(*audit.Config)) *audit.Log {
	t.Helper()
	c := audit.Config{Store: w.store, Name: w.name(), Signer: w.signer, Memory: w.memory, Now: w.clock,
		Stamp: audit.Entry{Who: audit.Who{User: "anna", Host: "db1", Command: "daemon"}, Tool: "1.2.3", Config: "c0ffee",
			Environment: audit.Environment{OS: "linux", Arch: "amd64", PID: 7}}}
	if change != nil {
		change(&c)
	}
	l, err := audit.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	l.SetFull(w.full)
	return l
}

func entry(i int) audit.Entry {
	return audit.Entry{ID: fmt.Sprintf("e%05d", i), What: audit.Base, Source: fmt.Sprintf("app%d", i%3), Repository: "local",
		Why: "the last base is a day old", Outcome: audit.OK}
}

func fill(t *testing.T, l *audit.Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := l.Append(t.Context(), entry(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, l *audit.Log, f audit.Filter) []audit.Record {
	t.Helper()
	var list []audit.Record
	if err := l.Read(t.Context(), f, func(r audit.Record) error { list = append(list, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

func ids(list []audit.Record) []string {
	var all []string
	for _, r := range list {
		all = append(all, r.ID)
	}
	return all
}

func wantIDs(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, entry(i).ID)
	}
	return all
}

// settle writes a store of memory into the folder, which is the store from then on.
func (w *world) settle(t *testing.T) {
	t.Helper()
	from := w.store
	err := from.List(t.Context(), "", func(o store.Object) error {
		b, err := store.ReadAll(t.Context(), from, o.Name, 1<<24)
		if err != nil {
			return err
		}
		path := filepath.Join(w.dir, "log", filepath.FromSlash(o.Name))
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600))
	})
	if err != nil {
		t.Fatal(err)
	}
	w.store = local.New(filepath.Join(w.dir, "log"))
	if w.memory == nil {
		return
	}
	if seen, ok, err := w.memory.Load(); err != nil || !ok || audit.SeenFile(filepath.Join(w.dir, "seen")).Save(seen) != nil {
		t.Fatal("what was seen was not kept", err)
	}
}

// file is the path of an object of the log.
func (w *world) file(volume int, rest string) string {
	return filepath.Join(w.dir, "log", filepath.FromSlash(audit.Volume(w.name(), volume)), filepath.FromSlash(rest))
}

// newest is the path of a volume's newest checkpoint.
func (w *world) newest(t *testing.T, volume int) string {
	t.Helper()
	found, err := filepath.Glob(w.file(volume, "checkpoint/*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no checkpoint: %v", err)
	}
	return slices.Max(found)
}

func change(t *testing.T, path string, alter func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := alter(bytes.Clone(b))
	if bytes.Equal(b, changed) {
		t.Fatalf("%s was not changed", path)
	}
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}
