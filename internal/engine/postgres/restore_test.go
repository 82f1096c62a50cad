package postgres

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/recovery"
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

func TestDamageInTheLogIsNeverAShorterSuccess(t *testing.T) {
	w := newWorld(t, pgtest.Options{})
	w.take(t, nil)
	w.commit(t, 60, 30_000)
	whole := w.log(t, 600_000)
	end := whole.segments[len(whole.segments)-1].To
	for name, harm := range map[string]func(l *memLog){
		"a flipped bit": func(l *memLog) {
			d := l.parts[len(l.parts)/2].data[0]
			d[len(d)/2] ^= 4
		},
		"zeros": func(l *memLog) {
			d := l.parts[len(l.parts)/2].data[0]
			clear(d[len(d)/2:])
		},
		"a file that is too short": func(l *memLog) {
			p := l.parts[len(l.parts)/2]
			p.data[0] = p.data[0][:len(p.data[0])/2]
			p.entries[0].Size = int64(len(p.data[0]))
		},
		"a missing segment": func(l *memLog) {
			i := len(l.parts) / 2
			l.parts, l.segments = slices.Delete(l.parts, i, i+1), slices.Delete(l.segments, i, i+1)
		},
		"a log that ends too early": func(l *memLog) {
			n := len(l.parts) - 1
			l.parts, l.segments = l.parts[:n], l.segments[:n]
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := w.log(t, 600_000)
			harm(l)
			_, err := restorer{}.Replay(t.Context(), w.lay(t), l, engine.Goal{Position: end})
			if object, bad := recovery.Damaged(err); err == nil || !bad || object != "" {
				t.Errorf("Replay: %v (damage: %v)", err, bad)
			}
		})
	}
}

// TestAServerThatTakesDamageForTheEndIsCaught damages what was served already, behind our own reader.
func TestAServerThatTakesDamageForTheEndIsCaught(t *testing.T) {
	w := newWorld(t, pgtest.Options{})
	w.take(t, nil)
	w.commit(t, 200, 60_000)
	l := w.log(t, 600_000)
	dir, damaged := w.lay(t), ""
	l.open = func(i int) error {
		files, err := filepath.Glob(filepath.Join(dir, serveFolder, "0*"))
		if damaged != "" || i < len(l.parts)/2 || len(files) < 4 || err != nil {
			return err
		}
		damaged = files[2]
		b, err := os.ReadFile(damaged)
		if err == nil {
			clear(b[len(b)/2:])
			err = os.WriteFile(damaged, b, 0)
		}
		return err
	}
	_, err := restorer{}.Replay(t.Context(), dir, l, engine.Goal{Position: l.segments[len(l.segments)-1].To})
	if damaged == "" {
		t.Fatal("nothing was damaged")
	}
	if _, bad := recovery.Damaged(err); !bad || !strings.Contains(err.Error(), "ended") {
		t.Errorf("Replay: %v", err)
	}
	t.Log(err)
}

func TestAStoreThatFailsPromotesNothing(t *testing.T) {
	w := newWorld(t, pgtest.Options{})
	w.take(t, nil)
	w.commit(t, 100, 60_000)
	l := w.log(t, 600_000)
	dir, refused := w.lay(t), errors.New("the store does not answer")
	l.open = func(i int) error {
		if i < len(l.parts)-2 {
			return nil
		}
		time.Sleep(500 * time.Millisecond)
		return refused
	}
	_, err := restorer{}.Replay(t.Context(), dir, l, engine.Goal{Position: l.segments[len(l.segments)-1].To})
	if !errors.Is(err, refused) {
		t.Fatalf("Replay: %v", err)
	}
	if _, bad := recovery.Damaged(err); bad || !recovery.Environment(err) {
		t.Error("the backup was blamed")
	}
	requireNoServer(t, dir)
	requireNotPromoted(t, dir)
}

func requireNoServer(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		number, _, _ := strings.Cut(string(text), "\n")
		if pid, err := strconv.Atoi(number); err == nil && syscall.Kill(pid, 0) != nil {
			return
		}
	}
	t.Error("the server still runs")
}

func requireNotPromoted(t *testing.T, dir string) {
	t.Helper()
	if _, err := forkOf(dir, 2); err == nil {
		t.Error("it was promoted")
	}
	c, _, err := datadir.ReadControl(os.DirFS(dir))
	if err != nil || c.Timeline != 1 || c.State == datadir.InProduction {
		t.Errorf("timeline %d, %s, %v", c.Timeline, c.State, err)
	}
}

func TestAbandonedRestoreStops(t *testing.T) {
	w := newWorld(t, pgtest.Options{})
	w.take(t, nil)
	w.commit(t, 100, 60_000)
	l := w.log(t, 600_000)
	dir := w.lay(t)
	ctx, cancel := context.WithCancel(t.Context())
	l.open = func(i int) error {
		if i == len(l.parts)-1 {
			time.Sleep(time.Second)
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	begin := time.Now()
	_, err := restorer{}.Replay(ctx, dir, l, engine.Goal{Position: l.segments[len(l.segments)-1].To})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Replay: %v", err)
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	requireNoServer(t, dir)
	requireNotPromoted(t, dir)
}
