package repository_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
)

// readOnly is a store as credentials that may only read have it.
type readOnly struct{ store.Store }

func (readOnly) Put(context.Context, string, io.Reader, int64) error {
	return errors.New("access denied")
}

// TestWhatIsHeldIsNotDropped drops, and replaces tips, while somebody reads a base and all log behind it, for hours.
func TestWhatIsHeldIsNotDropped(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s store.Store) {
		ctx := t.Context()
		w := newWorld(t, s)
		base := w.takeBase(t)
		w.appendSegment(t, 2, 100)
		first := w.putTip(t, 2, 3)
		w.putTip(t, 3, 4)

		reader := w.open(t, nil)
		chain, err := facts(t, reader).History.Chain(history.Target{Kind: history.Latest})
		if err != nil || len(chain.Segments) != 3 {
			t.Fatalf("chain %+v, %v", chain, err)
		}
		// A tip is replaced between plan and claim, as it goes all the time.
		w.putTip(t, 2, 4, first.Object)
		release, err := reader.Hold(ctx, chain, "restore on db2")
		if err != nil {
			t.Fatal(err)
		}
		w.seq = 2
		w.appendSegment(t, 2, 100)
		for range 20 { // what makes tips go
			w.now = w.now.Add(time.Minute)
			w.putTip(t, w.seq, w.seq+1)
			w.appendSegment(t, 1, 100)
		}
		w.takeBase(t)
		order := repository.Order{Names: []string{"base/" + base.ID}, Reason: "old", Decided: facts(t, w.repo).Head.Size}
		_, err = w.repo.Drop(ctx, order)
		var claimed *repository.ClaimedError
		if !errors.As(err, &claimed) || claimed.By != "restore on db2" {
			t.Fatalf("dropped while it is read: %v", err)
		}
		if err := readAll(ctx, reader, chain); err != nil {
			t.Errorf("what is held cannot be read: %v", err)
		}
		release()
		if _, err := w.repo.Drop(ctx, order); err != nil {
			t.Errorf("dropped when it was read: %v", err)
		}
		before := count(t, s, "app/tip/")
		w.now = w.now.Add(2 * time.Minute)
		w.putTip(t, w.seq, w.seq+1)
		if after := count(t, s, "app/tip/"); after >= before {
			t.Errorf("of %d tips %d are left when nobody reads them", before, after)
		}
		if n := count(t, s, "app/claim/"); n != 0 {
			t.Errorf("%d claims are left", n)
		}
	})
}

func TestHoldSaysWhatIsGone(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, stores(t)["mem"])
	base := w.takeBase(t)
	w.takeBase(t)
	reader := w.open(t, nil)
	chain := history.Chain{Base: base}
	facts(t, reader)
	if _, err := w.repo.Drop(ctx, repository.Order{Names: []string{"base/" + base.ID}, Reason: "old", Decided: facts(t, w.repo).Head.Size}); err != nil {
		t.Fatal(err)
	}
	_, err := reader.Hold(ctx, chain, "restore")
	var unlisted *repository.UnlistedError
	if !errors.As(err, &unlisted) {
		t.Errorf("held what was dropped: %v", err)
	}
	if n := count(t, w.store, "app/claim/"); n != 0 {
		t.Errorf("%d claims are left", n)
	}
}

// TestHoldWithoutTheRightToWrite goes on without a claim: a restore must not need more than to read.
func TestHoldWithoutTheRightToWrite(t *testing.T) {
	w := newWorld(t, stores(t)["mem"])
	base := w.takeBase(t)
	w.store = readOnly{w.store}
	release, err := w.open(t, nil).Hold(t.Context(), history.Chain{Base: base}, "restore")
	if err != nil {
		t.Fatal(err)
	}
	release()
}

// readAll reads a base and log, and compares them with what was put in.
func readAll(ctx context.Context, r *repository.Repository, chain history.Chain) error {
	b, err := r.OpenBase(ctx, chain.Base.ID)
	if err != nil {
		return err
	}
	defer b.Close()
	if report, err := b.Verify(ctx, nil); err != nil || len(report.Damage) > 0 {
		return errors.Join(err, errors.New("the base is damaged"))
	}
	log := r.OpenLog(chain.Segments)
	for i, s := range chain.Segments {
		if err := readOne(ctx, log, i, logFile(s.From.Seq+1, 100)); err != nil {
			return err
		}
	}
	return nil
}
