package repository_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/fault"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// life is what happens to a repository in a short time. Each step is tried again, by a process that starts anew,
// until it succeeds.
type life struct {
	store  store.Store
	signer *ledger.Signer
	reader *age.X25519Identity
	now    time.Time
	bases  []string
	tries  int
}

func (l *life) open(ctx context.Context) (*repository.Repository, error) {
	o := repository.CreateOptions{Source: "app", Engine: "sqlite", Signer: l.signer, Now: func() time.Time { return l.now },
		Readers: []repository.Reader{{Name: "anna", Recipient: l.reader.Recipient().String()}}}
	r, err := repository.Create(ctx, l.store, o)
	if errors.Is(err, fs.ErrExist) {
		r, err = repository.Open(ctx, l.store, repository.Options{Source: "app", Signer: l.signer, Now: o.Now, Trusted: []string{l.signer.Verifier()}})
	}
	return r, err
}

func (l *life) step(ctx context.Context, do func(r *repository.Repository) error) error {
	for try := 0; ; try++ {
		l.now = l.now.Add(time.Minute)
		l.tries++
		r, err := l.open(ctx)
		if err == nil {
			err = do(r)
		}
		if err == nil || try == 5 {
			return err
		}
	}
}

func (l *life) run(ctx context.Context) error {
	segment := func(from, to uint64, put func(r *repository.Repository, s sealedObject) error) func(*repository.Repository) error {
		var s sealedObject // sealed once, as in a spool, and then sent until it arrives
		return func(r *repository.Repository) (err error) {
			if s.object == nil {
				if s.sealed, s.object, err = seal(ctx, r.Sealer(), from, to, 100); err != nil {
					return err
				}
			}
			return put(r, s)
		}
	}
	tip := func(r *repository.Repository, s sealedObject) error {
		_, err := r.PutTip(ctx, s.sealed, opener(s.object), nil, moment(s.sealed.Segment.To.Seq))
		return err
	}
	full := func(r *repository.Repository, s sealedObject) error {
		_, err := r.AppendSegment(ctx, s.sealed, opener(s.object), moment(s.sealed.Segment.To.Seq))
		return err
	}
	base := func(r *repository.Repository) error {
		b, err := takeBase(ctx, r, 0, l.now)
		if err == nil {
			l.bases = append(l.bases, b.ID)
		}
		return err
	}
	decided := int64(0)
	drop := func(r *repository.Repository) error {
		if decided == 0 { // once: a Drop that was not heard of is repeated as it was
			f, err := r.Facts(ctx)
			if err != nil {
				return err
			}
			decided = f.Head.Size
		}
		_, err := r.Drop(ctx, repository.Order{Names: []string{"base/" + l.bases[0]}, Reason: "old", Decided: decided})
		return err
	}
	for i, do := range []func(*repository.Repository) error{
		base, segment(0, 1, tip), segment(1, 2, tip), segment(0, 3, full), base, drop, segment(3, 4, tip),
		func(r *repository.Repository) error { return r.PutReport(ctx, "r", []byte("report")) },
		func(r *repository.Repository) error {
			return r.RecordGap(ctx, history.Gap{From: history.At(1, 9), To: history.At(1, 9), Since: at(9), Until: at(10), Reason: "off"})
		},
	} {
		if err := l.step(ctx, do); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

type sealedObject struct {
	sealed pack.Sealed
	object []byte
}

// TestEveryStorageCallMayFail fails the first, the second … the last call to the store, before or after it had its
// effect: what was acknowledged is there, and nothing is damaged.
func TestEveryStorageCallMayFail(t *testing.T) {
	signer, reader := newSigner(t, "db1"), newIdentity(t)
	for name, effect := range map[string]fault.Effect{"before": fault.Fail(nil), "after": fault.FailAfter(nil)} {
		t.Run(name, func(t *testing.T) {
			failed := 0
			for n := 1; ; n++ {
				s := mem.New()
				plan := fault.NewPlan(fault.Rule{Nth: n, Effect: effect})
				l := &life{store: fault.Wrap(s, plan), signer: signer, reader: reader, now: start}
				if err := l.run(t.Context()); err != nil {
					t.Fatalf("call %d fails: %v", n, err)
				}
				l.verify(t, s, fmt.Sprintf("call %d failed", n))
				if plan.Fired() == 0 {
					break
				}
				failed++
			}
			if failed < 40 {
				t.Errorf("only %d calls were failed", failed)
			}
		})
	}
}

func (l *life) verify(t *testing.T, s store.Store, what string) {
	t.Helper()
	w := &world{store: s, signer: l.signer, reader: l.reader, now: l.now}
	r := w.open(t, nil)
	f := facts(t, r)
	if got := segmentNames(f.History); got != "0-3 3-4t" || len(f.Reports) != 1 || len(f.History.Gaps) != 1 {
		t.Fatalf("%s: segments %s, %d reports, %d gaps", what, got, len(f.Reports), len(f.History.Gaps))
	}
	// A base whose commit was not heard of may exist beside the acknowledged one.
	found := false
	for _, b := range f.History.Bases {
		found = found || b.ID == l.bases[1]
		if b.ID == l.bases[0] {
			t.Fatalf("%s: the dropped base is listed", what)
		}
	}
	report, err := r.Check(t.Context(), repository.CheckOptions{Deep: true})
	if err != nil || !found || len(report.Damage) > 0 {
		t.Fatalf("%s: base found %v, damage %v, %v", what, found, report.Damage, err)
	}
}
