package repository_test

import (
	"bytes"
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

// readSegment reads all of one segment and compares it with what was sealed.
func readSegment(ctx context.Context, t *testing.T, l engine.Log, i int, size int) error {
	t.Helper()
	seg, err := l.Open(ctx, i)
	if err != nil {
		return err
	}
	defer seg.Close()
	info := l.Segments()[i]
	seq := info.From.Seq
	for _, e := range seg.Entries() {
		seq++
		r, err := seg.Read(ctx, e)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
		if !bytes.Equal(got, logFile(seq, size)) {
			t.Errorf("log file %s of %d bytes is not what was put in", e.File, len(got))
		}
	}
	if seq != info.To.Seq {
		t.Errorf("segment to %d holds log to %d", info.To.Seq, seq)
	}
	marks := uint64(0)
	for m, err := range seg.Marks(ctx) {
		if err != nil {
			return err
		}
		marks++
		if m.Position.Seq != info.From.Seq+marks {
			t.Errorf("mark %d is at %s", marks, m.Position)
		}
	}
	if marks != uint64(info.Commits) {
		t.Errorf("%d marks for %d commits", marks, info.Commits)
	}
	return nil
}

// remote is a store over a network, as far as the repository can tell.
type remote struct{ store.Store }

func (r remote) Properties() store.Properties {
	p := r.Store.Properties()
	p.Local = false
	return p
}

func TestSegmentsThereAndBack(t *testing.T) {
	all := stores(t)
	all["remote"] = remote{mem.New()}
	for name, s := range all {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{100, 700_000} { // held in memory, and not
				s := prefixed{s, map[int]string{100: "small/", 700_000: "large/"}[size]}
				w := newWorld(t, s)
				w.appendSegment(t, 5, size)
				receipt := w.appendSegment(t, 4, size)
				if receipt.To.Seq != 9 || !strings.HasPrefix(receipt.Object, "log/1/00000000000000000005-00000000000000000009-") || receipt.Checkpoint != 3 {
					t.Errorf("receipt %+v", receipt)
				}
				r := w.open(t, nil)
				f := facts(t, r)
				if got := segmentNames(f.History); got != "0-5 5-9" {
					t.Fatalf("segments %s", got)
				}
				if !f.History.Whole.Position.Equal(history.At(1, 9)) {
					t.Errorf("whole %+v", f.History.Whole)
				}
				log := r.OpenLog(f.History.Segments)
				for i := range f.History.Segments {
					if err := readSegment(t.Context(), t, log, i, size); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// prefixed keeps two repositories of one name apart in one store.
type prefixed struct {
	store.Store
	prefix string
}

func (p prefixed) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	return p.Store.Put(ctx, p.prefix+name, r, size)
}

func (p prefixed) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	return p.Store.Open(ctx, p.prefix+name, offset, length)
}

func (p prefixed) Stat(ctx context.Context, name string) (store.Object, error) {
	return p.Store.Stat(ctx, p.prefix+name)
}

func (p prefixed) List(ctx context.Context, prefix string, visit func(store.Object) error) error {
	return p.Store.List(ctx, p.prefix+prefix, func(o store.Object) error {
		o.Name = strings.TrimPrefix(o.Name, p.prefix)
		return visit(o)
	})
}

func (p prefixed) Delete(ctx context.Context, name string) error {
	return p.Store.Delete(ctx, p.prefix+name)
}

func TestTipsGiveWay(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s store.Store) {
		w := newWorld(t, s)
		w.appendSegment(t, 2, 100)
		a := w.putTip(t, 2, 3)
		b := w.putTip(t, 3, 4)
		if got := segmentNames(facts(t, w.repo).History); got != "0-2 2-3t 3-4t" {
			t.Fatalf("segments %s", got)
		}
		merged := w.putTip(t, 2, 5, a.Object, b.Object)
		if got := segmentNames(facts(t, w.repo).History); got != "0-2 2-5t" {
			t.Fatalf("segments %s", got)
		}
		reader := w.open(t, nil)
		h := facts(t, reader).History
		w.putTip(t, 5, 6)
		late, object := w.seal(t, 2, 3, 100)
		w.appendSegment(t, 3, 100)
		if got := segmentNames(facts(t, w.repo).History); got != "0-2 2-5 5-6t" {
			t.Fatalf("segments %s", got)
		}
		// A restore that has read the head goes on for a while.
		if err := readSegment(t.Context(), t, reader.OpenLog(h.Segments), 1, 100); err != nil {
			t.Errorf("a tip is gone at once: %v", err)
		}
		// A tip that comes late is stored, and not listed.
		if _, err := w.repo.PutTip(t.Context(), late, opener(object), nil, history.Moment{}); err != nil {
			t.Fatal(err)
		}
		if got := segmentNames(facts(t, w.repo).History); got != "0-2 2-5 5-6t" {
			t.Fatalf("segments %s", got)
		}
		w.now = w.now.Add(time.Minute)
		if _, err := w.repo.Heartbeat(t.Context(), moment(20)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stat(t.Context(), "app/"+merged.Object); err == nil {
			t.Error("a tip that a segment covers is still there")
		}
	})
}

func TestRepeatedAppendsAreOne(t *testing.T) {
	w := newWorld(t, mem.New())
	sealed, object := w.seal(t, 0, 3, 100)
	var first, second repository.Receipt
	for _, r := range []*repository.Receipt{&first, &second} {
		var err error
		if *r, err = w.repo.AppendSegment(t.Context(), sealed, opener(object), moment(3)); err != nil {
			t.Fatal(err)
		}
	}
	if f := facts(t, w.repo); first != second || f.Head.Size != 3 {
		t.Errorf("receipts %+v and %+v, %d leaves", first, second, f.Head.Size)
	}
	gap := history.Gap{From: history.At(1, 3), To: history.At(2, 4), Since: at(3), Until: at(9), Reason: "it was off"}
	fork := history.Fork{Child: 2, At: history.At(1, 3)}
	for range 2 {
		if err := errors.Join(w.repo.RecordGap(t.Context(), gap), w.repo.RecordFork(t.Context(), fork), w.repo.PutReport(t.Context(), "r", []byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	f := facts(t, w.repo)
	if len(f.History.Gaps) != 1 || f.History.Gaps[0].Reason != gap.Reason || len(f.History.Forks) != 1 || len(f.Reports) != 1 || f.Reports[0].ID != "r" {
		t.Errorf("facts %+v", f)
	}
	if b, err := w.repo.Report(t.Context(), "r"); err != nil || string(b) != "x" {
		t.Errorf("report %q, %v", b, err)
	}
	if _, err := w.repo.Heartbeat(t.Context(), moment(2)); err != nil {
		t.Fatal(err)
	}
	if f := facts(t, w.repo); !f.History.Whole.Position.Equal(history.At(1, 3)) {
		t.Errorf("an older statement replaced a newer one: %+v", f.History.Whole)
	}
}

func TestAppendRefusesOtherBytes(t *testing.T) {
	w := newWorld(t, mem.New())
	sealed, object := w.seal(t, 0, 3, 100)
	var corrupt *repository.CorruptError
	if _, err := w.repo.AppendSegment(t.Context(), sealed, opener(object[:len(object)-1]), moment(3)); err == nil {
		t.Error("a truncated object was taken")
	}
	bad := bytes.Clone(object)
	bad[50] ^= 1
	if _, err := w.repo.AppendSegment(t.Context(), sealed, opener(bad), moment(3)); !errors.As(err, &corrupt) || corrupt.Want != sealed.CRC32C {
		t.Errorf("other bytes: %v, want them found by their CRC: the digest was made by the sealer", err)
	}
	// A segment that was kept in a file by an older version has no CRC: its digest is compared.
	older := sealed
	older.CRC32C = ""
	if _, err := w.repo.AppendSegment(t.Context(), older, opener(bad), moment(3)); !errors.As(err, &corrupt) || corrupt.Want != sealed.SHA256 {
		t.Errorf("other bytes, without a CRC: %v", err)
	}
	if n := count(t, w.store, "app/log/"); n != 0 {
		t.Errorf("%d objects are stored", n)
	}
	readOnly := w.open(t, nil)
	if _, err := readOnly.AppendSegment(t.Context(), sealed, opener(object), moment(3)); err == nil {
		t.Error("a reader appended")
	}
}

func TestDrop(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s store.Store) {
		w := newWorld(t, s)
		first, second := w.takeBase(t), w.takeBase(t)
		seg := w.appendSegment(t, 3, 100)
		w.appendSegment(t, 3, 100)
		var unlisted *repository.UnlistedError
		drop := func(reason string, names ...string) error {
			_, err := w.repo.Drop(t.Context(), repository.Order{Names: names, Reason: reason, Decided: facts(t, w.repo).Head.Size})
			return err
		}
		if err := drop("x", seg.Object, "log/1/nothing"); !errors.As(err, &unlisted) {
			t.Errorf("what is not listed: %v", err)
		}
		if err := drop("x", "key/000001"); err == nil {
			t.Error("a key object was dropped")
		}
		if n := count(t, s, "app/log/"); n != 2 {
			t.Fatalf("%d segments are left after a refused drop", n)
		}
		for range 2 {
			if err := drop("too old", "base/"+first.ID, seg.Object); err != nil {
				t.Fatal(err)
			}
		}
		f := facts(t, w.repo)
		if len(f.History.Bases) != 1 || f.History.Bases[0].ID != second.ID || segmentNames(f.History) != "3-6" {
			t.Errorf("history %+v", f.History)
		}
		if n := count(t, s, "app/base/"+first.ID) + count(t, s, "app/"+seg.Object); n != 0 {
			t.Errorf("%d objects are left", n)
		}
		if r := check(t, w, repository.CheckOptions{}); len(r.Damage) != 0 {
			t.Errorf("damage %v", r.Damage)
		}
	})
}

func TestCopySegment(t *testing.T) {
	w := newWorld(t, mem.New())
	w.appendSegment(t, 3, 100)
	s := mem.New()
	second, err := repository.Create(t.Context(), s, repository.CreateOptions{Source: "app", KeyObject: w.repo.KeyObject(), Signer: w.signer, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	seg := facts(t, w.repo).History.Segments[0]
	for range 2 {
		if err := second.CopySegment(t.Context(), w.repo, seg); err != nil {
			t.Fatal(err)
		}
	}
	w.store = s
	r := w.open(t, nil)
	if f := facts(t, r); segmentNames(f.History) != "0-3" || f.Head.Size != 3 {
		t.Fatalf("facts %+v", f)
	}
	if err := readSegment(t.Context(), t, r.OpenLog([]history.Segment{seg}), 0, 100); err != nil {
		t.Error(err)
	}
}

// check runs a check and fails the test if it cannot be made.
func check(t *testing.T, w *world, o repository.CheckOptions) repository.CheckReport {
	t.Helper()
	report, err := w.open(t, nil).Check(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}
