package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/local"
)

// camera copies stores and spool before and after each change of a store, while everything else stands still: the
// states that a kill at that moment would leave.
type camera struct {
	h     *house
	dirs  []string // of the stores
	root  string
	turn  chan struct{}
	every int
	seen  int
	shots []shot
	err   error
}

type shot struct {
	dir   string
	acked int // commits that had been acknowledged to the source
	what  string
}

func (c *camera) take(what string) {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if c.seen++; c.seen%c.every != 0 {
		return
	}
	synctest.Wait()
	s := shot{dir: filepath.Join(c.root, fmt.Sprint(len(c.shots))), acked: c.h.w.ackedNow(), what: what}
	for i, d := range c.dirs {
		c.err = errors.Join(c.err, copyTree(d, filepath.Join(s.dir, fmt.Sprint("store", i))))
	}
	c.err = errors.Join(c.err, copyTree(c.h.dir, filepath.Join(s.dir, "spool")))
	c.shots = append(c.shots, s)
}

// watched tells the camera of every change. It has no Filer, so that bases are seen too.
type watched struct {
	store.Store
	c *camera
}

func (w watched) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	w.c.take("before put " + name)
	err := w.Store.Put(ctx, name, r, size)
	w.c.take("after put " + name)
	return err
}

func (w watched) Delete(ctx context.Context, name string) error {
	w.c.take("before delete " + name)
	return w.Store.Delete(ctx, name)
}

func (w *world) ackedNow() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

// TestKillAtEveryStep begins again from each state that a kill may leave. The source does not keep what it was told is
// safe, so that nothing can come from anywhere but spool and repositories.
func TestKillAtEveryStep(t *testing.T) {
	t.Parallel()
	var c camera
	every := 5
	if testing.Short() {
		every = 23
	}
	inBubble(t, 0, func(t *testing.T, h *house) {
		root := t.TempDir()
		h.config.SegmentBytes = 1 << 10
		for i := range 2 {
			h.addRepoIn(mustLocal(t, filepath.Join(root, fmt.Sprint("store", i))))
			c.dirs = append(c.dirs, filepath.Join(root, fmt.Sprint("store", i)))
		}
		c = camera{h: h, dirs: c.dirs, root: filepath.Join(root, "shots"), turn: make(chan struct{}, 1), every: every}
		h.wrap = func(_ int, s store.Store) store.Store { return watched{s, &c} }
		d := h.start()
		h.work(10)
		if _, err := d.Backup(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.work(8)
		d.shipped()
		d.stop()
		if c.err != nil || c.seen < 150 {
			t.Fatalf("%d states, %v", c.seen, c.err)
		}
		h.wrap, h.plans = nil, nil
		for i, s := range c.shots {
			h.revive(t, s)
			if t.Failed() {
				t.Fatalf("state %d of %d: %s", i, len(c.shots), s.what)
			}
		}
		t.Logf("%d of %d states", len(c.shots), c.seen)
	})
}

// revive runs a daemon on a state and proves that nothing is lost that had been acknowledged.
func (h *house) revive(t *testing.T, s shot) {
	t.Helper()
	again := &house{t: t, w: h.w.after(s.acked), dir: filepath.Join(s.dir, "spool"), reader: h.reader, signer: h.signer, secret: h.secret, config: h.config}
	for i := range 2 {
		again.addStore(mustLocal(t, filepath.Join(s.dir, fmt.Sprint("store", i))))
	}
	d := again.start()
	again.work(2)
	d.shipped()
	d.until("bases", func(st Status) bool { return st.Repositories[0].Bases > 0 && st.Repositories[1].Bases > 0 })
	d.stop()
	for i := range again.stores {
		p := again.prove(i)
		p.all(t, again.w.count(), nil)
		if len(p.history.Gaps) > 0 || len(p.windows) != 1 { // nothing was committed that was not seen
			t.Errorf("gaps %+v, windows %+v", p.history.Gaps, p.windows)
		}
	}
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
}

// after is the world as it is when the log up to acked is not kept any longer.
func (w *world) after(acked int) *world {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &world{lines: append([]string(nil), w.lines...), times: append([]time.Time(nil), w.times...), trimmed: acked, acked: acked}
}

func mustLocal(t testing.TB, dir string) store.Store {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := local.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
