package repository_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// ageing makes objects whose name holds one of old look two days old.
type ageing struct {
	store.Store
	old []string
}

func (a *ageing) List(ctx context.Context, prefix string, visit func(store.Object) error) error {
	return a.Store.List(ctx, prefix, func(o store.Object) error {
		for _, part := range a.old {
			if strings.Contains(o.Name, part) {
				o.Created = o.Created.Add(-48 * time.Hour)
			}
		}
		return visit(o)
	})
}

// dying is a store that is gone for Delete, as it is for a process that was killed.
type dying struct {
	store.Store
	dead bool
}

func (d *dying) Delete(ctx context.Context, name string) error {
	if d.dead {
		return errors.New("killed")
	}
	return d.Store.Delete(ctx, name)
}

func TestSweepRemovesWhatACrashLeft(t *testing.T) {
	s := &dying{Store: mem.New()}
	w := newWorld(t, s)
	base := w.takeBase(t)
	seg := w.appendSegment(t, 2, 100)
	tip := w.putTip(t, 2, 3)

	failing := &failing{Store: s, part: "/manifest", err: errors.New("killed")}
	w.store = failing
	s.dead = true
	dead := w.open(t, func(o *repository.Options) { o.Signer = w.signer })
	if _, err := takeBase(t.Context(), dead, 0, w.now); err == nil {
		t.Fatal("a base was committed without a manifest")
	}
	s.dead, w.store = false, s
	left, object := w.seal(t, 10, 12, 100)
	if err := s.Put(t.Context(), "app/"+repository.TipName(left), strings.NewReader(string(object)), -1); err != nil {
		t.Fatal(err)
	}
	report := check(t, w, repository.CheckOptions{})
	if len(report.Damage) != 0 || len(report.Orphans) != 3 {
		t.Fatalf("check finds %v and orphans %v", report.Damage, report.Orphans)
	}

	aged := &ageing{Store: s}
	w.store = aged
	writer := w.open(t, func(o *repository.Options) { o.Signer = w.signer })
	sweep := func(o repository.SweepOptions) int {
		t.Helper()
		swept, err := writer.Sweep(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return len(swept)
	}
	if n := sweep(repository.SweepOptions{}); n != 0 {
		t.Errorf("%d young objects were swept", n)
	}
	aged.old = []string{"/pack-", "/tip/", "/log/"}
	if n := sweep(repository.SweepOptions{DryRun: true}); n != 1 { // the map of the base is young: it may be in the making
		t.Errorf("%d objects would be swept, want the tip alone", n)
	}
	aged.old = append(aged.old, "/base/", "/key/")
	if n := sweep(repository.SweepOptions{}); n != 3 {
		t.Errorf("%d objects were swept", n)
	}
	f := facts(t, writer)
	if segmentNames(f.History) != "0-2 2-3t" || len(check(t, w, repository.CheckOptions{}).Damage) != 0 {
		t.Errorf("after the sweep: %+v", f.History)
	}
	for _, name := range []string{seg.Object, tip.Object, "base/" + base.ID + "/manifest"} {
		if _, err := s.Stat(t.Context(), "app/"+name); err != nil {
			t.Errorf("%s was swept: %v", name, err)
		}
	}
}

// TestSweepTakesNothingThatIsListedLater: a base of another writer looks left behind, and is committed before the sweep says
// so, or after.
func TestSweepTakesNothingThatIsListedLater(t *testing.T) {
	for name, during := range map[string]bool{"committed during the sweep": true, "committed after the sweep": false} {
		t.Run(name, func(t *testing.T) {
			s := mem.New()
			w := newWorld(t, s)
			other, err := w.repo.NewBase(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Put(t.Context(), engine.File{Name: "a", Mode: 0o600, Size: 600_000, ModTime: start}, strings.NewReader(strings.Repeat("a", 600_000))); err != nil {
				t.Fatal(err)
			}
			commit := func() error {
				_, err := other.Commit(t.Context(), history.Base{Start: history.At(1, 0), Stop: history.At(1, 0), StartTime: w.now, StopTime: w.now})
				return err
			}
			var committed error
			hook := &hooked{Store: s}
			// A part of the base lies there already, as it does while a base of several packs is being taken.
			stray := "app/base/" + other.ID() + "/pack-00009"
			if err := s.Put(t.Context(), stray, strings.NewReader("x"), -1); err != nil {
				t.Fatal(err)
			}
			if during {
				hook.before = func() { committed = commit() }
			}
			w.store = &ageing{Store: hook, old: []string{"/base/"}}
			swept, err := w.open(t, func(o *repository.Options) { o.Signer = w.signer }).Sweep(t.Context(), repository.SweepOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !during {
				committed = commit()
			}
			_, gone := s.Stat(t.Context(), stray)
			bases := len(facts(t, w.repo).History.Bases)
			switch {
			case during && (committed != nil || bases != 1 || len(swept) != 0 || gone != nil):
				t.Errorf("committed: %v, %d bases, swept %v", committed, bases, swept)
			case !during && (committed == nil || bases != 0 || len(swept) != 1 || gone == nil):
				t.Errorf("committed: %v, %d bases, swept %v", committed, bases, swept)
			}
			if !during {
				if err := other.Abort(); err != nil || count(t, s, "app/base/") != 0 {
					t.Errorf("abort: %v, %d objects are left", err, count(t, s, "app/base/"))
				}
			}
		})
	}
}

// hooked calls before once, ahead of the first checkpoint that is put.
type hooked struct {
	store.Store
	before func()
}

func (h *hooked) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if call := h.before; call != nil && strings.Contains(name, "/ledger/checkpoint/") {
		h.before = nil
		call()
	}
	return h.Store.Put(ctx, name, r, size)
}
