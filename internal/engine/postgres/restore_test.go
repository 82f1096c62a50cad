package postgres

import (
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

func TestReplayStandsAtTheGoal(t *testing.T) {
	w := newWorld(t, pgtest.Options{})
	w.commit(t, 20, 100)
	w.take(t, func() { w.commit(t, 20, 5000) })
	w.commit(t, 40, 60_000)
	l := w.log(t, 700_000)
	marks := l.marks()
	end := l.segments[len(l.segments)-1].To
	for name, at := range map[string]wal.LSN{
		"end of the log":     wal.LSN(end.Seq),
		"a commit":           wal.LSN(marks[len(marks)-10].Position.Seq),
		"inside of a record": wal.LSN(marks[len(marks)-5].Position.Seq) - 9,
		"end of the base":    w.stop,
	} {
		t.Run(name, func(t *testing.T) {
			dir, r := w.restored(t, l, position(1, at))
			if at != w.stop && r.Time.IsZero() {
				t.Error("no time of the last commit")
			}
			requireRows(t, w.plain(t, dir), w.at(l, at))
		})
	}
	t.Run("no goal at all", func(t *testing.T) {
		dir := w.lay(t)
		r, err := restorer{}.Replay(t.Context(), dir, l, engine.Goal{})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Position.Equal(end) {
			t.Errorf("reached %s, want %s", r.Position, end)
		}
	})
}
