package sqlite

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

// writer is test/python/ledger.py at work.
type writer struct {
	db, ledger string
	cmd        *exec.Cmd
	stderr     strings.Builder
}

func startWriter(t *testing.T, db string, args ...string) *writer {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	script, err := filepath.Abs("../../../test/python/ledger.py")
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{db: db, ledger: db + ".ledger"}
	w.cmd = exec.Command(python, append([]string{script, db, w.ledger}, args...)...)
	w.cmd.Stderr = &w.stderr
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.cmd.Process.Kill(); w.cmd.Wait() })
	enginetest.Until(t, 10*time.Second, "the writer's first commit", func() bool { return len(w.entries(t)) > 0 })
	return w
}

func (w *writer) wait(t *testing.T) {
	t.Helper()
	if err := w.cmd.Wait(); err != nil {
		t.Fatalf("writer: %v\n%s", err, w.stderr.String())
	}
}

func (w *writer) kill() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}

func (w *writer) entries(t *testing.T) (all []enginetest.Entry) {
	t.Helper()
	f, err := os.Open(w.ledger)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e enginetest.Entry
		var before, after float64
		if n, _ := fmt.Sscan(lines.Text(), &e.N, &before, &after); n != 3 || !strings.Contains(lines.Text(), ".") {
			continue // the last line of a writer that was killed
		}
		e.Before, e.After = seconds(before), seconds(after)
		all = append(all, e)
	}
	return all
}

func seconds(s float64) time.Time { return time.UnixMicro(int64(s * 1e6)) }

// compare restores at random moments and positions and compares with the ledger.
func compare(t *testing.T, sink *enginetest.Sink, rec *enginetest.Recorder, ledger []enginetest.Entry, late time.Duration, times int) {
	t.Helper()
	each := late < time.Second
	log, err := rec.Log(t.Context(), 100, Engine{})
	if err != nil {
		t.Fatal(err)
	}
	h := enginetest.Harness{Engine: Engine{}}
	restored := func(to engine.Goal) int {
		dir, r := enginetest.Restore(t, h, sink, log, to)
		defer os.RemoveAll(dir)
		return stands(t, filepath.Join(dir, r.Files[0]))
	}
	if n, want := restored(engine.Goal{}), ledger[len(ledger)-1].N; n != want {
		t.Errorf("latest stands at change %d, want %d", n, want)
	}
	marks, _ := rec.Marks()
	if len(marks) < 2 {
		t.Fatalf("%d positions for %d changes", len(marks), len(ledger))
	}
	begin := rec.Begin()
	for range times {
		e := ledger[rand.IntN(len(ledger))]
		at := e.After.Add(time.Duration(rand.IntN(int(late))))
		if at.After(begin) {
			got := restored(engine.Goal{Time: at})
			least, most := bounds(ledger, at, late)
			if got < least || got > most {
				t.Errorf("restored to %s: stands at change %d, want %d to %d", at.Format("05.000000"), got, least, most)
			}
		}
		i := rand.IntN(len(marks) - 1)
		a := restored(engine.Goal{Position: marks[i].Position})
		b := restored(engine.Goal{Position: marks[i+1].Position})
		if each && (b < a || b > a+1) {
			t.Errorf("positions %s and %s stand at changes %d and %d", marks[i].Position, marks[i+1].Position, a, b)
		}
	}
}

// bounds are the changes that a restore to at may stand at. A change without a line was made by a writer that was killed
// before it could write it.
func bounds(ledger []enginetest.Entry, at time.Time, late time.Duration) (least, most int) {
	for _, e := range ledger {
		if e.After.Before(at.Add(-late)) {
			least = e.N
		}
		if e.Before.After(at) {
			break
		}
		most = e.N
	}
	for _, e := range ledger {
		if e.N > most {
			return least, e.N - 1
		}
	}
	return least, most
}

// TestPythonWriter follows the standard library's SQLite of another process, with all its kinds of checkpoint.
func TestPythonWriter(t *testing.T) {
	t.Parallel()
	var anew, long atomic.Int64 // how often a WAL began anew, and in how many cases it should have
	t.Cleanup(func() {          // after the cases: on a busy machine a case alone may end before its writer leaves a gap
		if long.Load() > 0 && anew.Load() == 0 {
			t.Error("no WAL ever began anew")
		}
	})
	for i, c := range []struct {
		name string
		args string
	}{
		{"own checkpoints", ""},
		{"passive", "--checkpoint passive --every 20 --autocheckpoint 0"},
		{"full", "--checkpoint full --every 60 --sync full"},
		{"restart", "--checkpoint restart --every 60 --page-size 1024"},
		{"truncate", "--checkpoint truncate --every 60"},
		{"small pages", "--page-size 512 --autocheckpoint 50"},
		{"large pages", "--page-size 65536 --autocheckpoint 20 --rate 200"},
		{"vacuum", "--vacuum 60 --autocheckpoint 100 --rate 300"},
		{"auto_vacuum", "--auto-vacuum full --autocheckpoint 100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && i > 0 {
				t.Skip("one kind of checkpoint is enough for a short run")
			}
			path := filepath.Join(t.TempDir(), "app.db")
			w := startWriter(t, path, strings.Fields("--seconds 2 --mode wal "+c.args)...)
			s := connect(t, path)
			sink := &enginetest.Sink{}
			res, err := s.TakeBase(t.Context(), engine.BaseOptions{}, sink)
			if err != nil {
				t.Fatal(err)
			}
			rec := enginetest.NewRecorder(res.Bookmark)
			starved := enginetest.Canary(t)
			f := enginetest.Follow(t, s, rec)
			w.wait(t)
			enginetest.Settled(t, enginetest.Harness{Settle: time.Second}, rec)
			// How long the WAL is when its writer ends depends on how fast that was. That all of it can be copied, and that a long one can begin
			// anew, does not.
			enginetest.Until(t, 10*time.Second, "a checkpoint of the whole WAL", func() bool {
				log, copied, err := passive(t.Context(), s.writers)
				n := s.Counters()
				return err == nil && copied == log && (log <= 50000 || n.Generations+n.Resets > 0)
			})
			f.Stop()
			ledger := w.entries(t)
			compare(t, sink, rec, ledger, 50*time.Millisecond+2*starved(), 5)
			n := s.Counters()
			t.Logf("%d changes, %+v", len(ledger), n)
			if n.Commits == 0 || n.Bridges+n.Unpinned != 0 {
				t.Errorf("counters %+v", n)
			}
			anew.Add(int64(n.Generations + n.Resets))
			if len(ledger) > 300 {
				long.Add(1)
			}
		})
	}
}

func TestPythonRollback(t *testing.T) {
	t.Parallel()
	for i, args := range []string{"--mode delete", "--mode truncate --page-size 1024 --vacuum 50", "--mode persist --rate 100 --auto-vacuum full"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && i > 0 {
				t.Skip("one rollback mode is enough for a short run")
			}
			path := filepath.Join(t.TempDir(), "app.db")
			w := startWriter(t, path, strings.Fields("--seconds 3 "+args)...)
			s := connect(t, path)
			sink := &enginetest.Sink{}
			res, err := s.TakeBase(t.Context(), engine.BaseOptions{}, sink)
			if err != nil {
				t.Fatal(err)
			}
			rec := enginetest.NewRecorder(res.Bookmark)
			starved := enginetest.Canary(t)
			f := enginetest.Follow(t, s, rec)
			w.wait(t)
			enginetest.Settled(t, enginetest.Harness{Settle: 3 * time.Second}, rec)
			f.Stop()
			ledger := w.entries(t)
			compare(t, sink, rec, ledger, 2*time.Second+2*starved(), 5)
			t.Logf("%d changes, %+v, held up %s", len(ledger), s.Counters(), s.Status().HoldsUp)
			if n := s.Counters(); n.Compares < 2 || n.Commits < 2 {
				t.Errorf("counters %+v", n)
			}
		})
	}
}

// TestWriterKilled kills the writer in the middle of its work, again and again.
func TestWriterKilled(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app.db")
			w := startWriter(t, path, "--mode", mode, "--autocheckpoint", "100", "--seconds", "60")
			s := connect(t, path)
			sink := &enginetest.Sink{}
			res, err := s.TakeBase(t.Context(), engine.BaseOptions{}, sink)
			if err != nil {
				t.Fatal(err)
			}
			rec := enginetest.NewRecorder(res.Bookmark)
			starved := enginetest.Canary(t)
			f := enginetest.Follow(t, s, rec)
			kills := 8
			if testing.Short() {
				kills = 2
			}
			for i := range kills {
				time.Sleep(time.Duration(100+rand.IntN(200)) * time.Millisecond)
				w.kill()
				w = startWriter(t, path, "--mode", mode, "--autocheckpoint", "100", "--seed", fmt.Sprint(i+2), "--seconds", "2")
			}
			w.wait(t)
			enginetest.Settled(t, enginetest.Harness{Settle: 3 * time.Second}, rec)
			f.Stop()
			late := 50 * time.Millisecond
			if mode != "wal" {
				late = 2 * time.Second
			}
			// A killed writer's last commit may lack its line.
			compare(t, sink, rec, w.entries(t), late+2*starved(), 5)
			t.Logf("%+v", s.Counters())
		})
	}
}
