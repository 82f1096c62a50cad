//go:build unix

package postgres

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/recovery"
)

// copiedBase lays w's base.
type copiedBase struct{ w *world }

func (b copiedBase) Extract(_ context.Context, dir string, _ pack.ExtractOptions) (pack.ExtractStats, error) {
	return pack.ExtractStats{Files: 1}, os.CopyFS(dir, os.DirFS(b.w.base))
}

func (copiedBase) Close() error { return nil }

// origin is what a repository would say of w.
func (w *world) origin(l *memLog) recovery.Origin {
	marks := l.marks()
	stopped := time.Time{}
	for _, m := range marks {
		if m.Position.Seq <= uint64(w.stop) {
			stopped = m.Time
		}
	}
	return recovery.Origin{
		Name: "test",
		History: history.History{Source: "shop", Engine: "postgres", Segments: l.segments, Bases: []history.Base{{
			ID: "b", Type: history.Full, Start: position(1, w.start), Stop: position(1, w.stop), StartTime: stopped, StopTime: stopped, Bytes: 1,
		}}},
		OpenBase: func(context.Context, string) (recovery.Base, error) { return copiedBase{w}, nil },
		OpenLog: func(segments []history.Segment) engine.Log {
			part := &memLog{segments: segments}
			for _, s := range segments {
				for i := range l.segments {
					if l.segments[i].Name == s.Name {
						part.parts = append(part.parts, l.parts[i])
					}
				}
			}
			return part
		},
	}
}

// testRun restores through recovery, into folders that are not there yet, to a time and to a transaction.
func testRun(t *testing.T, w *world) {
	l := w.log(t, 700_000)
	o := w.origin(l)
	marks := l.marks()
	m := marks[len(marks)-30]
	dir := filepath.Join(pgtest.Place(t), "a", "b")
	plan, err := recovery.PlanFor(o.History, history.Target{Kind: history.AtTime, Time: m.Time}, recovery.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := recovery.Run(t.Context(), plan, recovery.Deps{Dir: dir, Engine: Engine{}, Origins: []recovery.Origin{o}})
	if err != nil {
		t.Fatal(err)
	}
	if !res.Reached.Position.Equal(m.Position) || !res.Reached.Time.Equal(m.Time) {
		t.Errorf("reached %s of %s, want %s of %s", res.Reached.Position, res.Reached.Time, m.Position, m.Time)
	}
	requireRows(t, w.plain(t, dir), w.at(l, wal.LSN(m.Position.Seq)))
	for text, want := range map[string]history.Position{"xid:" + number(int32(m.XID)): m.Position, "lsn:" + m.Position.Mark: m.Position} {
		asked, err := history.ParseTarget(text, time.Now())
		if err == nil {
			asked, _, err = recovery.Resolve(t.Context(), o, nil, Engine{}, asked)
		}
		if err != nil || asked.Position.Seq != want.Seq {
			t.Errorf("%s is %s, want %s (%v)", text, asked, want, err)
		}
	}
}

// testDrill drills the same way as a person does.
func testDrill(t *testing.T, w *world) {
	l := w.log(t, 700_000)
	facts := func(context.Context) (drill.Facts, error) { return drill.Facts{Origin: w.origin(l)}, nil }
	for _, pick := range []drill.Pick{drill.Latest, drill.Random} {
		r, err := drill.Run(t.Context(), drill.Config{Source: "shop", Repository: "test", Engine: Engine{}, Facts: facts, Pick: pick, Scratch: pgtest.Place(t)})
		if err != nil || r.Verdict != drill.Proved || len(r.Checks) != 4 {
			t.Errorf("%s: %s: %s (%v)", pick, r.Verdict, r.Reason, err)
		}
		target, err := history.ParseTarget(r.Target, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		want := l.segments[len(l.segments)-1].To
		if target.Kind == history.AtTime {
			want = position(1, w.stop)
			for _, m := range l.marks() {
				if m.Position.Seq > want.Seq && !m.Time.After(target.Time) {
					want = m.Position
				}
			}
		}
		// Between the end of a base and its first commit the server may stand anywhere.
		if !r.Reached.Position.Equal(want) && !(want.Seq == uint64(w.stop) && r.Reached.Position.Seq >= want.Seq) {
			t.Errorf("%s: the server stands at %s, want %s for %s", pick, r.Reached.Position, want, r.Target)
		}
	}
}
