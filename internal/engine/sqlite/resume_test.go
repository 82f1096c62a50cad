package sqlite

import (
	"testing"

	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

// TestRestartKeepsTheWindow: where nothing was committed while nobody watched, the window goes on. Where something was, the stretch
// is left out of it, as nobody knows when: a moment in it must give neither too much nor too little.
func TestRestartKeepsTheWindow(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		for _, missed := range []bool{false, true} {
			r := newRig(t, mode)
			last := r.Commit(t).N
			r.follow(t)
			before := r.rec.Whole()
			r.close(t)
			var late enginetest.Entry
			if missed {
				late = r.Commit(t)
				last = late.N
			}
			r.connect(t)
			r.follow(t)
			if got := r.rec.Holes() > 0; got != missed {
				t.Errorf("%s, missed %t: %d holes", mode, missed, r.rec.Holes())
			}
			if missed && !r.rec.InHole(before.Time, late.After) {
				t.Errorf("%s: the missed commit is not in the hole", mode)
			}
			last = max(last, r.Commit(t).N)
			r.follow(t)
			r.latest(t, last)
		}
	}
}

// TestWALBeginsAnewUnderAFreshPin: a pin that began when all was checkpointed lets the WAL begin anew once. What is read of the
// old one just then is not taken for damage.
func TestWALBeginsAnewUnderAFreshPin(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	r.Commit(t)
	r.follow(t)
	r.sql(t, "PRAGMA wal_checkpoint(FULL)")
	pin, err := read(t.Context(), r.src.readers)
	if err != nil {
		t.Fatal(err)
	}
	defer pin.release()
	looks := 0
	err = r.src.underPin(func(x walIndex) error {
		if looks++; looks == 1 {
			r.Commit(t)
		}
		_, err := indexFrames(r.src.files.wal, x, x.frames, x.sum)
		return err
	})
	if err != nil || looks != 2 {
		t.Errorf("after %d looks: %v", looks, err)
	}
}

// TestMissedCommitsUnderAFreshPin: a pin that began when all was checkpointed does not keep the WAL. Commits that were missed, and
// that changed only pages which stood in the WAL before, leave it at the next write and must have been captured by then.
func TestMissedCommitsUnderAFreshPin(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	r.sql(t, "PRAGMA user_version=1")
	r.follow(t)
	r.sql(t, "PRAGMA user_version=2")
	r.sql(t, "PRAGMA wal_checkpoint(FULL)")
	s := r.src
	if err := s.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.leave()
	b := &batch{ctx: t.Context(), ship: r.rec.Ship, limit: s.limits.batchBytes, done: s.shipped}
	if err := s.resume(t.Context(), r.rec.Bookmark(), b); err != nil {
		t.Fatal(err)
	}
	last := r.Commit(t).N
	for range 2 {
		if err := s.roundWAL(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	r.latest(t, last)
}
