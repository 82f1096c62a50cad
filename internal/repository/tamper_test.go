package repository_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// furnished makes a repository with every kind of object in it, at least two of each.
func furnished(t *testing.T) (*world, *mem.Store) {
	t.Helper()
	s := mem.New()
	w := newWorld(t, s)
	w.takeBase(t)
	w.appendSegment(t, 3, 100)
	w.appendSegment(t, 2, 600_000)
	if err := w.open(t, func(o *repository.Options) { o.Signer = w.signer }).Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo.Keys(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 530 {
		if err := w.repo.PutReport(t.Context(), fmt.Sprintf("drill%03d", i), fmt.Appendf(nil, "report %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	w.now = w.now.Add(11 * time.Minute) // most checkpoints go
	w.takeBase(t)
	w.appendSegment(t, 2, 600_000)
	w.appendSegment(t, 3, 100)
	w.putTip(t, 10, 11)
	w.putTip(t, 11, 12)
	return w, s
}

// specimen is two objects of one kind.
type specimen struct{ kind, name, sibling string }

func specimens(t *testing.T, w *world, s store.Store) []specimen {
	t.Helper()
	var names []string
	if err := s.List(t.Context(), "app/", func(o store.Object) error { names = append(names, o.Name); return nil }); err != nil {
		t.Fatal(err)
	}
	pick := func(kind, prefix, suffix string) specimen {
		var found []string
		for _, n := range names {
			if strings.HasPrefix(n, "app/"+prefix) && strings.HasSuffix(n, suffix) {
				found = append(found, n)
			}
		}
		if len(found) < 2 {
			t.Fatalf("%d objects of kind %s", len(found), kind)
		}
		return specimen{kind, found[len(found)-1], found[len(found)-2]}
	}
	older := pick("older checkpoint", "ledger/checkpoint/", "")
	older.name, older.sibling = older.sibling, older.name
	large := specimen{kind: "large segment"}
	for _, n := range names {
		switch {
		case strings.Contains(n, "log/") && strings.Contains(n, "00003-"):
			large.name = n
		case strings.Contains(n, "log/") && strings.Contains(n, "00005-"):
			large.sibling = n
		}
	}
	oldKey := pick("first key object", "key/", "")
	oldKey.name, oldKey.sibling = oldKey.sibling, oldKey.name
	return []specimen{
		pick("key object", "key/", ""), oldKey, pick("copy of a key object", "key-copy/", ""), pick("pack", "base/", "pack-00001"), pick("map", "base/", "map-00001"),
		pick("manifest", "base/", "manifest"), pick("segment", "log/", ""), large, pick("tip", "tip/", ""),
		pick("report", "report/", ""), pick("newest checkpoint", "ledger/checkpoint/", ""), older, pick("bundle", "ledger/bundle/", ""),
	}
}

// damages are what can be done to an object by somebody who can write to the store.
var damages = map[string]func(own, sibling []byte) []byte{
	"first byte":  func(b, _ []byte) []byte { b[0] ^= 1; return b },
	"middle byte": func(b, _ []byte) []byte { b[len(b)/2] ^= 4; return b },
	"last byte":   func(b, _ []byte) []byte { b[len(b)-1] ^= 1; return b },
	"truncated":   func(b, _ []byte) []byte { return b[:len(b)-len(b)/3-1] },
	"emptied":     func(_, _ []byte) []byte { return nil },
	"longer":      func(b, _ []byte) []byte { return append(b, 'x') },
	"swapped":     func(_, sibling []byte) []byte { return sibling },
	"missing":     nil,
}

// TestEveryDamageIsFound damages every kind of object in every way. Check must name it, and a restore must give back
// what was stored or say that it cannot: never anything else.
func TestEveryDamageIsFound(t *testing.T) {
	w, whole := furnished(t)
	if report := check(t, w, repository.CheckOptions{Deep: true}); len(report.Damage) > 0 || len(report.Orphans) > 0 || report.Objects < 500 {
		t.Fatalf("an undamaged repository: %+v", report)
	}
	for _, sp := range specimens(t, w, whole) {
		for name, change := range damages {
			if testing.Short() && name != "middle byte" && name != "swapped" && name != "missing" {
				continue
			}
			t.Run(sp.kind+"/"+name, func(t *testing.T) {
				s := whole.Clone()
				sibling, err := store.ReadAll(t.Context(), s, sp.sibling, 32<<20)
				if err != nil {
					t.Fatal(err)
				}
				if change == nil {
					err = s.Delete(t.Context(), sp.name)
				} else {
					err = s.Alter(sp.name, func(b []byte) []byte { return change(b, bytes.Clone(sibling)) })
				}
				if err != nil {
					t.Fatal(err)
				}
				copied := *w
				copied.store = s
				harmless := sp.kind == "older checkpoint" && name == "missing" // its time comes after ten minutes
				if sp.kind == "newest checkpoint" && name == "missing" {
					harmless = true // shows only to who saw it: TestOldCopyIsNoticed
				}
				if found := copied.findDamage(t); !harmless && !strings.Contains(found, sp.name) && !(sp.kind == "bundle" && strings.Contains(found, "bundle")) {
					t.Errorf("check names %q", found)
				}
				errs := copied.restoreAll(t)
				if strings.Contains(sp.kind, "key object") && len(errs) > 0 {
					t.Errorf("one copy of a key object is damaged, and a restore ends with %v", errs)
				}
			})
		}
	}
}

// findDamage gives what a check says, on one line; an Open that is refused is an answer too.
func (w *world) findDamage(t *testing.T) string {
	t.Helper()
	r, err := w.tryOpen(t.Context(), nil)
	if err != nil {
		return err.Error()
	}
	report, err := r.Check(t.Context(), repository.CheckOptions{})
	if err != nil {
		t.Errorf("check: %v", err)
	}
	var all []string
	for _, d := range report.Damage {
		all = append(all, d.String())
	}
	return strings.Join(all, "; ")
}

// restoreAll reads everything that the repository says it has. What is not as it was stored must be an error.
func (w *world) restoreAll(t *testing.T) (errs []error) {
	t.Helper()
	r, err := w.tryOpen(t.Context(), nil)
	if err != nil {
		return []error{err}
	}
	f, err := r.Facts(t.Context())
	if err != nil {
		return []error{err}
	}
	for _, b := range f.History.Bases {
		if err := extract(t.Context(), t, r, b.ID); err != nil {
			errs = append(errs, err)
		}
	}
	log := r.OpenLog(f.History.Segments)
	for i, s := range f.History.Segments {
		size := 100
		if s.From.Seq == 3 || s.From.Seq == 5 {
			size = 600_000
		}
		if err := readSegment(t.Context(), t, log, i, size); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// TestRestoreSaysWhatIsLost damages what a restore needs.
func TestRestoreSaysWhatIsLost(t *testing.T) {
	w, whole := furnished(t)
	for _, sp := range specimens(t, w, whole) {
		needed := map[string]bool{"pack": true, "map": true, "manifest": true, "segment": true, "large segment": true, "tip": true, "bundle": true}
		if !needed[sp.kind] {
			continue
		}
		s := whole.Clone()
		if err := s.Alter(sp.name, func(b []byte) []byte { b[len(b)/2] ^= 4; return b }); err != nil {
			t.Fatal(err)
		}
		copied := *w
		copied.store = s
		errs := copied.restoreAll(t)
		var corrupt *repository.CorruptError
		if len(errs) != 1 || !errors.As(errs[0], &corrupt) {
			t.Errorf("%s: %v", sp.kind, errs)
		}
	}
}

// TestForgedSegment is by somebody who can write to the store and knows all that lies there in clear.
func TestForgedSegment(t *testing.T) {
	w := newWorld(t, mem.New())
	w.takeBase(t)
	w.appendSegment(t, 3, 100)
	sealed, object := w.seal(t, 3, 6, 50) // a valid age file for the source's identity
	name := repository.SegmentName(sealed)
	if err := w.store.Put(t.Context(), "app/"+name, bytes.NewReader(object), -1); err != nil {
		t.Fatal(err)
	}
	refused := func(what string) {
		t.Helper()
		r := w.open(t, nil)
		f := facts(t, r)
		if got := segmentNames(f.History); got != "0-3" {
			t.Errorf("%s: segments %s", what, got)
		}
		forged := sealed.Segment
		forged.Name = name
		var unlisted *repository.UnlistedError
		if _, err := r.OpenSegment(t.Context(), forged); !errors.As(err, &unlisted) || hint(err) == "" {
			t.Errorf("%s: opened: %v", what, err)
		}
		if report := check(t, w, repository.CheckOptions{}); !damaged(report, "app/"+name, repository.Unlisted) {
			t.Errorf("%s: check finds %v", what, report.Damage)
		}
	}
	refused("without a checkpoint")

	// He may sign a checkpoint too, with a key of his own, on top of the newest one.
	forger := newSigner(t, "db1") // the name is free to choose
	body, err := ledger.Body(map[string]any{"from": "1/3", "to": "1/6", "since": at(3), "until": at(6), "index": sealed.Index})
	if err != nil {
		t.Fatal(err)
	}
	log, err := ledger.Open(ledger.Config{Store: w.store, Prefix: "app/ledger", Origin: "app", Signer: forger, Verifiers: w.repo.Verifiers()})
	if err != nil {
		t.Fatal(err)
	}
	forged, err := log.Append(t.Context(), func(head ledger.Checkpoint) (ledger.Change, error) {
		return ledger.Change{Leaves: []ledger.Leaf{{Kind: "segment", Name: name, Size: sealed.Size, SHA256: sealed.SHA256, Body: body}}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	refused("with a checkpoint")
	object4 := fmt.Sprintf("app/ledger/checkpoint/%012d", forged.Number)
	if report := check(t, w, repository.CheckOptions{}); !damaged(report, object4, repository.BadLedger) {
		t.Errorf("check finds %v", report.Damage)
	}
	if f := facts(t, w.open(t, nil)); len(f.Ignored) != 1 || f.Ignored[0].Object != object4 {
		t.Errorf("ignored %v", f.Ignored)
	}
	// A host without a key has pinned the signers: it is not taken in either, goes on above it, and says so.
	for _, name := range []string{"the writer", "one that opens it"} {
		var strange []ledger.Ignored
		writer := w.open(t, func(o *repository.Options) {
			o.Signer, o.Identities, o.Trusted = w.signer, nil, []string{w.signer.Verifier()}
			o.Stranger = func(i ledger.Ignored) { strange = append(strange, i) }
		})
		if _, err := writer.Heartbeat(t.Context(), moment(9)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if alarmed := len(strange) == 1 && strange[0].Object == object4; alarmed != (name == "the writer") {
			t.Errorf("%s: told of %v", name, strange)
		}
	}
	f := facts(t, w.open(t, nil))
	if f.Head.Number <= forged.Number || len(f.Ignored) != 0 || len(f.History.Segments) != 1 {
		t.Errorf("head %d, ignored %v, segments %v", f.Head.Number, f.Ignored, f.History.Segments)
	}
	refused("after it was passed over")
}

// TestAStrangersHostWritesNothing has a host with a reader's key that nobody listed drop, report and change keys: it is refused before it
// signs anything, and the host that captures, which has no key, goes on.
func TestAStrangersHostWritesNothing(t *testing.T) {
	w := newWorld(t, mem.New())
	base := w.takeBase(t)
	w.appendSegment(t, 3, 100)
	other := newSigner(t, "laptop")
	laptop := w.open(t, func(o *repository.Options) { o.Signer = other })
	before := facts(t, laptop)
	reader := newIdentity(t).Recipient().String()
	for name, write := range map[string]func() error{
		"drop": func() error {
			_, err := laptop.Drop(t.Context(), repository.Order{Names: []string{"base/" + base.ID}, Reason: "old", Decided: before.Head.Size})
			return err
		},
		"report":     func() error { return laptop.PutReport(t.Context(), "20261121T100000.000Z", []byte("x")) },
		"add reader": func() error { return laptop.AddReader(t.Context(), repository.Reader{Name: "ben", Recipient: reader}) },
		"rotate":     func() error { return laptop.Rotate(t.Context()) },
		"add another signer": func() error {
			return laptop.AddSigner(t.Context(), newSigner(t, "third").Verifier())
		},
	} {
		var unlisted *repository.UnlistedSignerError
		if err := write(); !errors.As(err, &unlisted) || !strings.Contains(hint(err), other.Verifier()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if f := facts(t, w.open(t, nil)); f.Head.Number != before.Head.Number || f.Keys.Number != 1 {
		t.Errorf("head %d, key object %d", f.Head.Number, f.Keys.Number)
	}
	w.appendSegment(t, 3, 100)

	// A host that takes over lists itself. Whoever cannot verify that does not go on above it: two would write.
	if err := laptop.AddSigner(t.Context(), other.Verifier()); err != nil {
		t.Fatal(err)
	}
	if _, err := laptop.Heartbeat(t.Context(), moment(10)); err != nil {
		t.Fatal(err)
	}
	keyless := w.open(t, func(o *repository.Options) {
		o.Signer, o.Identities, o.Trusted = w.signer, nil, []string{w.signer.Verifier()}
	})
	var blocked *ledger.BlockedError
	if _, err := keyless.Heartbeat(t.Context(), moment(11)); !errors.As(err, &blocked) {
		t.Errorf("above a host that may have taken over: %v", err)
	}
	// Once it is told to trust that one, without being opened again, it does.
	if err := keyless.Trust(t.Context(), []string{w.signer.Verifier(), other.Verifier()}); err != nil {
		t.Fatal(err)
	}
	if _, err := keyless.Heartbeat(t.Context(), moment(11)); err != nil {
		t.Error(err)
	}
	if err := laptop.Rotate(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := keyless.Heartbeat(t.Context(), moment(12)); err != nil {
		t.Error(err)
	}
}

// TestOldCopyIsNoticed puts the whole store back to what it was an hour ago.
func TestOldCopyIsNoticed(t *testing.T) {
	s := mem.New()
	w := newWorld(t, s)
	w.takeBase(t)
	w.appendSegment(t, 3, 100)
	old := s.Clone()
	w.appendSegment(t, 3, 100)
	seen := repository.SeenFile(filepath.Join(t.TempDir(), "seen"))
	remember := func(o *repository.Options) { o.Seen = seen }
	facts(t, w.open(t, remember))
	w.store = old
	var rollback *ledger.RollbackError
	r := w.open(t, remember)
	if _, err := r.Facts(t.Context()); !errors.As(err, &rollback) || hint(err) == "" {
		t.Fatalf("got %v", err)
	}
	report, err := r.Check(t.Context(), repository.CheckOptions{Deep: true})
	if err != nil || len(report.Damage) != 1 || report.Damage[0].Kind != repository.Rollback || report.Objects == 0 {
		t.Errorf("check: %+v, %v", report, err)
	}
	var blocked *ledger.RollbackError
	writer := w.open(t, func(o *repository.Options) { o.Seen, o.Signer = seen, w.signer })
	if _, err := writer.Heartbeat(t.Context(), moment(9)); !errors.As(err, &blocked) {
		t.Errorf("appended to an old copy: %v", err)
	}
	// Who has seen nothing is told nothing.
	if f := facts(t, w.open(t, nil)); segmentNames(f.History) != "0-3" {
		t.Errorf("facts %+v", f)
	}
}

func TestMissingLogIsNamed(t *testing.T) {
	w := newWorld(t, mem.New())
	w.takeBase(t)
	w.appendSegment(t, 3, 100)
	w.seq = 5
	w.appendSegment(t, 3, 100)
	if report := check(t, w, repository.CheckOptions{}); !damaged(report, "app/log", repository.Broken) {
		t.Errorf("check finds %v", report.Damage)
	}
	if err := w.repo.RecordGap(t.Context(), history.Gap{From: history.At(1, 3), To: history.At(1, 5), Since: at(3), Until: at(5), Reason: "off"}); err != nil {
		t.Fatal(err)
	}
	if report := check(t, w, repository.CheckOptions{}); len(report.Damage) != 0 {
		t.Errorf("check finds %v", report.Damage)
	}
}
