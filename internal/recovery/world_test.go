package recovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
)

// world is a source of the values engine with 40 commits, one a minute from 10:01 on, a base after 10 and one after
// 25, and segments of 5 commits.
type world struct {
	commits []enginetest.ValueCommit
	log     map[string]*enginetest.ValueSegment
	history history.History
	baseErr map[string]error // by ID: what opening or laying it ends with
}

var ten = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func newWorld() *world {
	w := &world{log: map[string]*enginetest.ValueSegment{}, baseErr: map[string]error{}}
	w.history = history.History{Source: "shop", Engine: "values"}
	for seq := 1; seq <= 40; seq++ {
		value := fmt.Sprintf("value %d", seq)
		if seq == 33 {
			value = "name=release"
		}
		w.commits = append(w.commits, enginetest.ValueCommit{Position: history.At(1, uint64(seq)), Time: ten.Add(time.Duration(seq) * time.Minute), Value: value})
	}
	for _, seq := range []int{10, 25} {
		c := w.commits[seq-1]
		w.history.Bases = append(w.history.Bases, history.Base{
			ID: fmt.Sprintf("b%d", seq), Type: history.Full, Start: c.Position, Stop: c.Position, StartTime: c.Time, StopTime: c.Time,
			Bytes: int64(len(w.data(seq))), StoredBytes: 100,
		})
	}
	for from := 0; from < 40; from += 5 {
		w.addSegment(from, from+5)
	}
	return w
}

func (w *world) addSegment(from, to int) {
	since := ten.Add(time.Duration(from) * time.Minute)
	s := enginetest.NewValueSegment(fmt.Sprintf("log/1/%d-%d", from, to), history.At(1, uint64(from)), since, w.commits[from:to])
	w.log[s.Name] = s
	w.history.Segments = append(w.history.Segments, s.Segment)
}

// data is the file as it is after seq commits.
func (w *world) data(seq int) (b []byte) {
	for _, c := range w.commits[:seq] {
		b = append(b, c.String()...)
	}
	return b
}

func (w *world) origin(name string) Origin {
	return Origin{Name: name, History: w.history, OpenBase: w.openBase, OpenLog: func(segments []history.Segment) engine.Log {
		var l enginetest.ValueLog
		for _, s := range segments {
			l = append(l, w.log[s.Name])
		}
		return l
	}}
}

func (w *world) openBase(_ context.Context, id string) (Base, error) {
	var seq int
	if _, err := fmt.Sscanf(id, "b%d", &seq); err != nil {
		return nil, err
	}
	return valueBase{w.data(seq), w.baseErr[id]}, nil
}

type valueBase struct {
	data []byte
	err  error
}

func (b valueBase) Extract(_ context.Context, dir string, o pack.ExtractOptions) (pack.ExtractStats, error) {
	// What a damaged base leaves behind must be cleaned up too.
	if o.Only == nil || o.Only(engine.File{Name: "sub"}) {
		if err := os.MkdirAll(filepath.Join(dir, "sub", "sub"), 0o700); err != nil {
			return pack.ExtractStats{}, err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, enginetest.ValuesFile), b.data, 0o600); err != nil {
		return pack.ExtractStats{}, err
	}
	if o.Progress != nil {
		o.Progress(int64(len(b.data)), int64(len(b.data)))
	}
	return pack.ExtractStats{Files: 1, Bytes: int64(len(b.data))}, b.err
}

func (valueBase) Close() error { return nil }

func (w *world) plan(t *testing.T, target string) Plan {
	t.Helper()
	to, err := history.ParseTarget(target, ten)
	if err != nil {
		t.Fatal(err)
	}
	resolved, matches, err := Resolve(t.Context(), w.origin("local"), nil, enginetest.Values{}, to)
	if err != nil {
		t.Fatal(err)
	}
	p, err := PlanFor(w.history, resolved, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	p.Asked = to
	p.NoteMatches(matches)
	return p
}

func (w *world) deps(dir string) Deps {
	return Deps{Dir: dir, Engine: enginetest.Values{}, Origins: []Origin{w.origin("local")}}
}

// requireData demands that dir holds the source as it was after seq commits, and nothing else but the folder sub.
func (w *world) requireData(t *testing.T, dir string, seq int) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, enginetest.ValuesFile))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(w.data(seq)) {
		t.Errorf("restored:\n%s\nwant %d commits", got, seq)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("folder holds %v", entries)
	}
}

func requireGone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there (%v)", path, err)
	}
}
