package repository_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/mem"
	"github.com/backstaydb/backstay/internal/store/s3"
	"github.com/backstaydb/backstay/internal/store/s3/s3test"
)

const lockTime = 30 * 24 * time.Hour

// newLockedWorld is newWorld with a lock, and with the time of day as its clock: stores compare locks with their own.
func newLockedWorld(t *testing.T, s store.Store) *world {
	t.Helper()
	w := &world{store: s, signer: newSigner(t, "db1"), reader: newIdentity(t), now: time.Now()}
	var err error
	w.repo, err = repository.Create(t.Context(), s, repository.CreateOptions{Source: "app", Engine: "sqlite", Lock: lockTime, Signer: w.signer, Now: w.clock,
		Readers: []repository.Reader{{Name: "anna", Recipient: w.reader.Recipient().String()}}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// furnishLocked puts every kind of object.
func furnishLocked(t *testing.T, w *world, reports int) {
	t.Helper()
	w.takeBase(t)
	w.appendSegment(t, 3, 100)
	for i := range reports { // a bundle is full
		if err := w.repo.PutReport(t.Context(), fmt.Sprintf("drill%03d", i), []byte("report")); err != nil {
			t.Fatal(err)
		}
	}
	writer := w.open(t, func(o *repository.Options) { o.Signer, o.Lock = w.signer, lockTime })
	if err := writer.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.putTip(t, 3, 4)
	w.putTip(t, 4, 5)
}

// locks tells of every object whether it is locked for as long as it must be.
func locks(t *testing.T, w *world) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := w.store.List(t.Context(), "", func(o store.Object) error {
		until, err := w.store.(store.Locker).LockedUntil(t.Context(), o.Name)
		found[o.Name] = !until.Before(w.now.Add(lockTime).Truncate(time.Second))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func checkLocks(t *testing.T, w *world, folders string) {
	t.Helper()
	newest, seen := "", map[string]bool{}
	found := locks(t, w)
	for name, locked := range found {
		folder := strings.Split(name, "/")[1]
		if strings.Contains(name, "/ledger/") {
			folder = strings.Split(name, "/")[2]
		}
		seen[folder] = true
		newest = max(newest, map[bool]string{true: name}[folder == "checkpoint"])
		if folder != "checkpoint" && locked != (folder != "tip") {
			t.Errorf("%s: locked is %v", name, locked)
		}
	}
	if found[newest] {
		t.Errorf("%s lists only a tip, and is locked", newest)
	}
	for _, folder := range strings.Fields(folders) {
		if !seen[folder] {
			t.Errorf("no object in %s", folder)
		}
	}
}

// TestLockedRepositoryOutlivesItsDeleter deletes all that can be deleted. What is locked is enough.
func TestLockedRepositoryOutlivesItsDeleter(t *testing.T) {
	s := mem.NewLocking()
	w := newLockedWorld(t, s)
	furnishLocked(t, w, 300)
	checkLocks(t, w, "key key-copy base log tip report checkpoint bundle")
	deleted := 0
	for name := range locks(t, w) {
		if s.Delete(t.Context(), name) == nil {
			deleted++
		}
	}
	r := w.open(t, nil)
	f := facts(t, r)
	if deleted == 0 || segmentNames(f.History) != "0-3" || len(f.History.Bases) != 1 || len(f.Reports) != 300 || f.Keys.Number != 2 {
		t.Fatalf("after %d objects were deleted: %+v", deleted, f.History)
	}
	if err := extract(t.Context(), t, r, f.History.Bases[0].ID); err != nil {
		t.Error(err)
	}
	if err := readSegment(t.Context(), t, r.OpenLog(f.History.Segments), 0, 100); err != nil {
		t.Error(err)
	}
	if report := check(t, w, repository.CheckOptions{Deep: true}); len(report.Damage) > 0 {
		t.Errorf("check finds %v", report.Damage)
	}
	// A drop is a leaf; the bytes go when the lock has ended.
	writer := w.open(t, func(o *repository.Options) { o.Signer, o.Lock = w.signer, lockTime })
	dropped, err := writer.Drop(t.Context(), repository.Order{Names: []string{f.History.Segments[0].Name}, Reason: "too old", Decided: f.Head.Size})
	if err != nil || dropped.Deleted != 0 || len(dropped.Left) != 1 || dropped.Left[0].Why != "it is locked" {
		t.Fatalf("dropped %+v, %v", dropped, err)
	}
	if report := check(t, w, repository.CheckOptions{}); len(report.Damage) > 0 || len(report.Orphans) != 1 {
		t.Errorf("after a drop check finds %v, orphans %v", report.Damage, report.Orphans)
	}
	if swept, err := writer.Sweep(t.Context(), repository.SweepOptions{}); err != nil || len(swept) != 0 {
		t.Errorf("swept %v, %v", swept, err)
	}
}

func TestLockOnS3(t *testing.T) {
	server := s3test.Start(t)
	server.SetEnv(t)
	at, err := s3.ParseURL(server.Bucket(t, "locking", true))
	if err != nil {
		t.Fatal(err)
	}
	s, err := s3.Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	w := newLockedWorld(t, s)
	furnishLocked(t, w, 3)
	checkLocks(t, w, "key key-copy base log tip report checkpoint")
}

func TestLockNeedsAStoreThatCan(t *testing.T) {
	s := mem.New()
	w := newWorld(t, s)
	var no *repository.NoLockError
	if _, err := w.tryOpen(t.Context(), func(o *repository.Options) { o.Signer, o.Lock = w.signer, lockTime }); !errors.As(err, &no) || hint(err) == "" {
		t.Errorf("opened: %v", err)
	}
	_, err := repository.Create(t.Context(), mem.New(), repository.CreateOptions{Source: "app", Engine: "sqlite", Lock: lockTime, Signer: w.signer,
		Readers: []repository.Reader{{Name: "anna", Recipient: w.reader.Recipient().String()}}})
	if !errors.As(err, &no) {
		t.Errorf("created: %v", err)
	}
}

// TestLockThatFailsIsTriedAgain: an append whose checkpoint cannot be locked says so, and the next one locks it.
func TestLockThatFailsIsTriedAgain(t *testing.T) {
	s := mem.New()
	refused, locked := errors.New("no"), map[string]bool{}
	var refuse error
	log, err := ledger.Open(ledger.Config{Store: s, Prefix: "app/ledger", Origin: "app", Signer: newSigner(t, "db1"),
		Lock: func(_ context.Context, object string) error {
			if refuse == nil {
				locked[object] = true
			}
			return refuse
		}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Create(t.Context(), ledger.Change{Leaves: []ledger.Leaf{{Kind: "note"}}}); err != nil {
		t.Fatal(err)
	}
	refuse = refused
	add := func(c ledger.Change, nothing error) error {
		_, err := log.Append(t.Context(), func(ledger.Checkpoint) (ledger.Change, error) { return c, nothing })
		return err
	}
	if err := add(ledger.Change{Leaves: []ledger.Leaf{{Kind: "note"}}}, nil); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	refuse = nil
	if err := add(ledger.Change{}, ledger.ErrNoChange); err != nil || len(locked) != 2 {
		t.Errorf("locked %v, %v", locked, err)
	}
	if err := add(ledger.Change{}, nil); err != nil || len(locked) != 2 {
		t.Errorf("a checkpoint without leaves: locked %v, %v", locked, err)
	}
}
