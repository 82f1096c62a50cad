package sqlite

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/history"
)

var harness = enginetest.Harness{Engine: Engine{}, Settle: 2 * time.Second}

// rig is an application, its source, and what was taken of it.
type rig struct {
	*app
	src   *Source
	sink  *enginetest.Sink
	rec   *enginetest.Recorder
	state string
}

func newRig(t *testing.T, mode string) *rig {
	t.Helper()
	r := &rig{app: startApp(t, mode), state: t.TempDir()}
	r.Commit(t)
	r.connect(t)
	r.base(t, engine.BaseOptions{})
	return r
}

func (r *rig) connect(t *testing.T) {
	t.Helper()
	src, err := Engine{}.Connect(t.Context(), r.URL(), engine.Options{Name: "app", StateDir: r.state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	r.src = src.(*Source)
}

func (r *rig) base(t *testing.T, o engine.BaseOptions) {
	t.Helper()
	r.sink = &enginetest.Sink{}
	res, err := r.src.TakeBase(t.Context(), o, r.sink)
	if err != nil {
		t.Fatal(err)
	}
	r.rec = enginetest.NewRecorder(res.Bookmark)
}

// follow follows until all is there.
func (r *rig) follow(t *testing.T) {
	t.Helper()
	f := enginetest.Follow(t, r.src, r.rec)
	enginetest.Settled(t, harness, r.rec)
	f.Stop()
}

func (r *rig) close(t *testing.T) {
	t.Helper()
	if err := r.src.Close(); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) latest(t *testing.T, want int) {
	t.Helper()
	log, err := r.rec.Log(t.Context(), 16, Engine{})
	if err != nil {
		t.Fatal(err)
	}
	dir, reached := enginetest.Restore(t, harness, r.sink, log, engine.Goal{})
	if got := r.Stands(t, dir, reached); got != want {
		t.Errorf("restored: stands at change %d, want %d", got, want)
	}
}

func (r *rig) gap(t *testing.T, err error, reason string) {
	t.Helper()
	var gap *history.GapError
	if !errors.As(err, &gap) || !strings.Contains(gap.Reason, reason) || !gap.From.Equal(r.rec.Bookmark().Position) {
		t.Fatalf("Follow: %v, want a gap from %s: %s", err, r.rec.Bookmark().Position, reason)
	}
}

func (r *rig) sql(t *testing.T, statement string) {
	t.Helper()
	if line := r.tell(t, "sql "+statement); line != "done" {
		t.Fatalf("application: %s", line)
	}
}
