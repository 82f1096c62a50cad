package sqlite

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/history"
)

// record is one line of a follower's file: a base or a shipment.
type record struct {
	Base     []byte           `json:",omitempty"`
	File     *engine.File     `json:",omitempty"`
	Bookmark *engine.Bookmark `json:",omitempty"`
	Pieces   []engine.Piece   `json:",omitempty"`
}

// followerMain protects path for as long as it lives and keeps everything in one file, which is what its successor begins with.
func followerMain(path, state string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it ends when the test is gone
		os.Exit(1)
	}()
	records, size := readRecords(state)
	out, err := os.OpenFile(state, os.O_CREATE|os.O_WRONLY, 0o600)
	check(err)
	check(out.Truncate(size))
	_, err = out.Seek(size, 0)
	check(err)
	write := func(r record) error { return json.NewEncoder(out).Encode(r) }

	src, err := Engine{}.Connect(context.Background(), "sqlite:"+path, engine.Options{Name: "app", StateDir: state + ".d"})
	check(err)
	bookmark := lastBookmark(records)
	for {
		if bookmark.Position.IsZero() || errorIsGap(err) {
			sink := &enginetest.Sink{}
			res, err := src.TakeBase(context.Background(), engine.BaseOptions{After: bookmark.Position, NewTimeline: !bookmark.Position.IsZero()}, sink)
			check(err)
			bookmark = res.Bookmark
			check(write(record{Base: sink.Data[sink.Files[0].Name], File: &sink.Files[0], Bookmark: &bookmark}))
		}
		err = src.Follow(context.Background(), bookmark, func(_ context.Context, pieces []engine.Piece) error { return write(record{Pieces: pieces}) })
		if !errorIsGap(err) {
			check(err)
		}
		records, _ = readRecords(state)
		bookmark = lastBookmark(records)
	}
}

func errorIsGap(err error) bool {
	var gap *history.GapError
	return errors.As(err, &gap)
}

// readRecords reads whole lines and returns where they end.
func readRecords(path string) (all []record, size int64) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0
	}
	defer f.Close()
	for r := bufio.NewReaderSize(f, 1<<20); ; {
		line, err := r.ReadBytes('\n')
		var rec record
		if err != nil || json.Unmarshal(line, &rec) != nil {
			return all, size
		}
		all, size = append(all, rec), size+int64(len(line))
	}
}

func lastBookmark(records []record) (b engine.Bookmark) {
	for _, r := range records {
		if r.Bookmark != nil {
			b = *r.Bookmark
		}
		for _, p := range r.Pieces {
			b = engine.Bookmark{Position: p.To, Token: p.Token, Time: p.Until}
		}
	}
	return b
}

// TestFollowerKilled kills the process that follows, again and again, while a writer goes on whose checkpoints may take away
// what nobody followed. Every base with its log must restore to what the ledger says.
func TestFollowerKilled(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path, state := filepath.Join(dir, "app.db"), filepath.Join(dir, "state")
			kills, seconds := 8, "5"
			if testing.Short() {
				kills, seconds = 3, "1.5"
			}
			w := startWriter(t, path, "--mode", mode, "--seconds", seconds, "--rate", "300")
			starved := enginetest.Canary(t)
			for i := range kills {
				f := exec.Command(os.Args[0])
				f.Env = append(os.Environ(), followerVariable+"="+path, "BACKSTAY_TEST_STATE="+state)
				f.Stdout, f.Stderr = os.Stdout, os.Stderr
				if _, err := f.StdinPipe(); err != nil {
					t.Fatal(err)
				}
				if err := f.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = f.Process.Kill(); _ = f.Wait() })
				if i == kills-1 {
					w.wait(t)
					time.Sleep(time.Second)
				}
				time.Sleep(time.Duration(200+rand.IntN(400)) * time.Millisecond)
				_ = f.Process.Kill()
				_ = f.Wait()
				time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
			}
			checkRecords(t, state, w.entries(t), mode, 2*starved())
		})
	}
}

func checkRecords(t *testing.T, state string, ledger []enginetest.Entry, mode string, starved time.Duration) {
	t.Helper()
	records, _ := readRecords(state)
	late := 50 * time.Millisecond
	if mode != "wal" {
		late = 2 * time.Second
	}
	late += starved
	var sink *enginetest.Sink
	var rec *enginetest.Recorder
	bases, begin := 0, time.Time{}
	finish := func(until time.Time) {
		if rec == nil {
			return
		}
		part := []enginetest.Entry{}
		for _, e := range ledger {
			if e.After.After(begin) && e.Before.Before(until) {
				part = append(part, e)
			}
		}
		if commits, _, _ := rec.Counts(); commits < 3 || len(part) < 3 {
			return
		}
		compareWithin(t, sink, rec, part, ledger, late, 4)
	}
	for _, r := range records {
		if r.Bookmark != nil {
			if rec != nil {
				finish(rec.Whole().Time)
			}
			sink = &enginetest.Sink{Files: []engine.File{*r.File}, Data: map[string][]byte{r.File.Name: r.Base}}
			rec, begin = enginetest.NewRecorder(*r.Bookmark), r.Bookmark.Time
			bases++
			continue
		}
		if err := rec.Ship(t.Context(), r.Pieces); err != nil {
			t.Fatal(err)
		}
	}
	finish(time.Now())
	commits, idle, calls := rec.Counts()
	t.Logf("%d changes, %d bases, the last with %d commits, %d idle pieces, %d calls, %d holes", len(ledger), bases, commits, idle, calls, rec.Holes())
	h := enginetest.Harness{Engine: Engine{}}
	log, err := rec.Log(t.Context(), 50, Engine{})
	if err != nil {
		t.Fatal(err)
	}
	out, r := enginetest.Restore(t, h, sink, log, engine.Goal{})
	if n := stands(t, filepath.Join(out, r.Files[0])); n != ledger[len(ledger)-1].N {
		t.Errorf("latest stands at change %d, want %d", n, ledger[len(ledger)-1].N)
	}
}

// compareWithin restores at moments that somebody watched.
func compareWithin(t *testing.T, sink *enginetest.Sink, rec *enginetest.Recorder, part, ledger []enginetest.Entry, late time.Duration, times int) {
	t.Helper()
	log, err := rec.Log(t.Context(), 50, Engine{})
	if err != nil {
		t.Fatal(err)
	}
	h := enginetest.Harness{Engine: Engine{}}
	for range times {
		at := part[rand.IntN(len(part))].After
		if !at.After(rec.Begin()) || rec.InHole(at.Add(-late), at) || at.After(rec.Whole().Time) {
			continue
		}
		dir, r := enginetest.Restore(t, h, sink, log, engine.Goal{Time: at})
		got := stands(t, filepath.Join(dir, r.Files[0]))
		if least, most := bounds(ledger, at, late); got < least || got > most {
			t.Errorf("restored to %s: stands at change %d, want %d to %d", at.Format("05.000000"), got, least, most)
		}
	}
	marks, _ := rec.Marks()
	for range times {
		i := rand.IntN(len(marks))
		dir, r := enginetest.Restore(t, h, sink, log, engine.Goal{Position: marks[i].Position})
		if n := stands(t, filepath.Join(dir, r.Files[0])); n < 1 {
			t.Errorf("%s stands at change %d", marks[i].Position, n)
		}
	}
}
