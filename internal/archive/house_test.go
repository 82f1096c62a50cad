package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"go.uber.org/goleak"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/fault"
	"github.com/backstaydb/backstay/internal/store/mem"
)

func TestMain(m *testing.M) {
	if benchMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

// house is everything around an archive that survives it.
type house struct {
	t      *testing.T
	w      *world
	dir    string
	reader *age.X25519Identity
	signer *ledger.Signer
	secret *repository.Secret
	stores []store.Store // without faults
	plans  []*fault.Plan
	wrap   func(i int, s store.Store) store.Store
	config Config

	heartbeats []time.Duration // of the repositories; none means the default

	mu     sync.Mutex
	events []Event
}

func newHouse(t *testing.T, repos int) *house {
	t.Helper()
	h := &house{t: t, w: &world{}, dir: filepath.Join(t.TempDir(), "spool")}
	var err error
	if h.reader, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	if h.signer, err = ledger.NewSigner("host"); err != nil {
		t.Fatal(err)
	}
	if h.secret, err = repository.NewSecret(); err != nil {
		t.Fatal(err)
	}
	for range repos {
		h.addRepo()
	}
	return h
}

func (h *house) addRepo() { h.addRepoIn(mem.New()) }

func (h *house) addStore(s store.Store) {
	h.stores, h.plans = append(h.stores, s), append(h.plans, &fault.Plan{})
}

// addRepoIn makes a repository in a store.
func (h *house) addRepoIn(s store.Store) {
	h.t.Helper()
	_, err := repository.Create(h.t.Context(), s, repository.CreateOptions{Source: "app", Engine: "lines", SystemID: "w", Signer: h.signer,
		Secret: h.secret, Readers: []repository.Reader{{Name: "r", Recipient: h.reader.Recipient().String()}}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.addStore(s)
}

func (h *house) event(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *house) saw(kind EventKind) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, e := range h.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// daemon is one run of an archive.
type daemon struct {
	*Archive
	h    *house
	end  context.CancelFunc
	done chan error
}

func (h *house) start() *daemon {
	h.t.Helper()
	c := h.config
	c.Source, c.Connect, c.Engine, c.Dir, c.Events = "app", h.w.connect, lineEngine{}, h.dir, h.event
	if testing.Verbose() {
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	for i, s := range h.stores {
		var beat time.Duration
		if i < len(h.heartbeats) {
			beat = h.heartbeats[i]
		}
		c.Repos = append(c.Repos, Repo{Heartbeat: beat, Name: fmt.Sprintf("r%d", i), Open: func(ctx context.Context) (*repository.Repository, error) {
			s := fault.Wrap(s, h.plans[i])
			if h.wrap != nil {
				s = h.wrap(i, s)
			}
			return repository.Open(ctx, s, repository.Options{Source: "app", Signer: h.signer, Trusted: []string{h.signer.Verifier()}})
		}})
	}
	a, err := New(c)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &daemon{Archive: a, h: h, end: cancel, done: make(chan error, 1)}
	go func() { d.done <- a.Run(ctx) }()
	return d
}

func (d *daemon) stop() {
	d.h.t.Helper()
	d.end()
	if err := <-d.done; err != nil {
		d.h.t.Fatal(err)
	}
}

// shipped waits until all commits are durable in the given repositories; in all if none is named.
func (d *daemon) shipped(repos ...int) {
	d.h.t.Helper()
	want := uint64(d.h.w.count())
	d.until("all commits to be durable", func(st Status) bool {
		if len(repos) == 0 {
			for i := range d.h.stores {
				repos = append(repos, i)
			}
		}
		for _, i := range repos {
			if i >= len(st.Repositories) || st.Repositories[i].Position.Seq < want {
				return false
			}
		}
		return true
	})
}

func (d *daemon) until(what string, ok func(Status) bool) {
	d.h.t.Helper()
	for range 20_000 {
		if ok(d.Status()) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	st := d.Status()
	d.h.t.Fatalf("waited 2000 s for %s: %+v", what, st)
}

// inBubble runs f with a clock of its own.
func inBubble(t *testing.T, repos int, f func(t *testing.T, h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, newHouse(t, repos))
		synctest.Wait()
	})
}

// copyTree copies a folder that is in use; files that vanish meanwhile are left out.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
}
