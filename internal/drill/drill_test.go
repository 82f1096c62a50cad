package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/recovery"
)

var ten = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func minute(n int) time.Time { return ten.Add(time.Duration(n) * time.Minute) }

// world is a source with 30 commits, one a minute, bases after 5 and 20, and segments of 5 commits.
type world struct {
	commits []enginetest.ValueCommit
	log     map[string]*enginetest.ValueSegment
	history history.History
	bases   map[string][]byte
	baseErr error
}

func newWorld() *world {
	w := &world{log: map[string]*enginetest.ValueSegment{}, bases: map[string][]byte{}, history: history.History{Source: "shop", Engine: "values"}}
	for seq := 1; seq <= 30; seq++ {
		w.commits = append(w.commits, enginetest.ValueCommit{Position: history.At(1, uint64(seq)), Time: minute(seq), Value: fmt.Sprint(seq)})
	}
	for _, seq := range []int{5, 20} {
		id := fmt.Sprintf("b%d", seq)
		for _, c := range w.commits[:seq] {
			w.bases[id] = append(w.bases[id], c.String()...)
		}
		w.history.Bases = append(w.history.Bases, history.Base{ID: id, Start: history.At(1, uint64(seq)), Stop: history.At(1, uint64(seq)),
			StartTime: minute(seq), StopTime: minute(seq), Bytes: int64(len(w.bases[id]))})
	}
	for from := 5; from < 30; from += 5 {
		s := enginetest.NewValueSegment(fmt.Sprintf("log/%d", from), history.At(1, uint64(from)), minute(from), w.commits[from:from+5])
		w.log[s.Name] = s
		w.history.Segments = append(w.history.Segments, s.Segment)
	}
	return w
}

func (w *world) facts(context.Context) (Facts, error) {
	o := recovery.Origin{Name: "local", History: w.history}
	o.OpenBase = func(_ context.Context, id string) (recovery.Base, error) { return base{w.bases[id], w.baseErr}, nil }
	o.OpenLog = func(segments []history.Segment) engine.Log {
		var l enginetest.ValueLog
		for _, s := range segments {
			l = append(l, w.log[s.Name])
		}
		return l
	}
	return Facts{Origin: o, Checkpoint: Checkpoint{Number: 7, Size: 9, Root: "cm9vdA=="}}, nil
}

type base struct {
	data []byte
	err  error
}

func (b base) Extract(_ context.Context, dir string, o pack.ExtractOptions) (pack.ExtractStats, error) {
	if o.Progress != nil {
		o.Progress(1, 1)
	}
	return pack.ExtractStats{Bytes: int64(len(b.data))}, errors.Join(b.err, os.WriteFile(filepath.Join(dir, enginetest.ValuesFile), b.data, 0o600))
}

func (base) Close() error { return nil }

func (w *world) config(t *testing.T) Config {
	t.Helper()
	signer, err := ledger.NewSigner("host1")
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Source: "shop", Repository: "local", Engine: enginetest.Values{}, Facts: w.facts, Scratch: t.TempDir(),
		Random: rand.New(rand.NewPCG(1, 2)), Tool: "v0", Host: "host1", Signer: signer, Now: func() time.Time { return minute(60) },
	}
}

func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("scratch holds %v, %v", entries, err)
	}
}

func TestDrillProvesAndSigns(t *testing.T) {
	w := newWorld()
	c := w.config(t)
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != Proved || r.Reached.Position != history.At(1, 30) || r.Want != history.At(1, 30) || len(r.Checks) != 2 || r.Base != "b20" || r.Segments != 2 {
		t.Errorf("report %+v", r)
	}
	if r.LaidBytes == 0 || r.LogBytes == 0 || r.DrillSeconds <= 0 || r.Checkpoint.Number != 7 || r.ID() != "20261120T110000.000Z" {
		t.Errorf("report %+v", r)
	}
	requireEmpty(t, c.Scratch)

	verifier := c.Signer.(*ledger.Signer).Verifier()
	read, signer, err := VerifyReport(r.Signed, []string{verifier})
	if err != nil || signer != "host1" || read.String() != r.String() || read.Reached.Digest != r.Reached.Digest || !read.Ended.Equal(r.Ended) {
		t.Errorf("read %+v of %s: %v", read, signer, err)
	}
	forged := bytes.Replace(r.Signed, []byte("b20"), []byte("b21"), 1)
	if _, _, err := VerifyReport(forged, []string{verifier}); err == nil {
		t.Error("a forged report is accepted")
	}
	other, err := ledger.NewSigner("host1")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := VerifyReport(r.Signed, []string{other.Verifier()}); err == nil {
		t.Error("a report is accepted that another key signed")
	}
}

func TestDrillPicks(t *testing.T) {
	w := newWorld()
	c := w.config(t)
	c.Pick = Random
	bases, tips := map[string]int{}, 0
	for range 60 {
		r, err := Run(t.Context(), c)
		if err != nil || r.Verdict != Proved {
			t.Fatalf("%v, %v", r, err)
		}
		bases[r.Base]++
		if r.Target == string(history.Latest) {
			tips++
		}
	}
	if bases["b5"] < 10 || bases["b20"] < 10 {
		t.Errorf("bases drilled: %v", bases)
	}
	if tips < 8 || tips > 25 {
		t.Errorf("of 60 drills %d went to the tip", tips)
	}
	c.Pick = Given
	for target, seq := range map[string]uint64{"seq:22": 22, "before-seq:22": 21, "immediate": 20, "2026-11-20T10:17:30Z": 17} {
		to, err := history.ParseTarget(target, ten)
		if err != nil {
			t.Fatal(err)
		}
		c.Target = to
		r, err := Run(t.Context(), c)
		if err != nil || r.Verdict != Proved || r.Reached.Position.Seq != seq || r.Want.Seq != seq || r.Asked != to.String() {
			t.Errorf("%s: %+v, %v", target, r, err)
		}
	}
}

func TestDrillRefusesWhatItCannotAsk(t *testing.T) {
	w := newWorld()
	c := w.config(t)
	c.Pick, c.Target = Given, history.Target{Kind: history.AtTime, Time: minute(99)}
	if _, err := Run(t.Context(), c); err == nil {
		t.Error("unreachable: no error")
	} else if _, ok := errors.AsType[*history.UnreachableError](err); !ok {
		t.Errorf("unreachable: %v", err)
	}
	c.Target = history.Target{Kind: history.Custom, Key: "lsn", Value: "1"}
	if _, err := Run(t.Context(), c); err == nil {
		t.Error("unknown key: no error")
	}
	for _, pick := range []Pick{Random, Latest} {
		c.Pick = pick
		w.history.Bases = nil
		if _, err := Run(t.Context(), c); err == nil {
			t.Errorf("%s without a base: no error", pick)
		}
	}
}

// TestPlantedFaults knows for each fault whether the backup is to blame: a drill that cannot fail proves nothing,
// and one that blames a good backup is switched off.
func TestPlantedFaults(t *testing.T) {
	boom := errors.New("boom")
	corrupt := &pack.CorruptError{Object: "shop/x", Detail: "digest"}
	for name, f := range map[string]struct {
		plant   func(w *world, c *Config)
		verdict Verdict
		object  string
	}{
		"base damaged":         {func(w *world, c *Config) { w.baseErr = corrupt }, BackupBad, "shop/x"},
		"base gone":            {func(w *world, c *Config) { w.baseErr = fs.ErrNotExist }, BackupBad, "base/b20"},
		"base of other data":   {func(w *world, c *Config) { w.bases["b20"] = w.bases["b5"] }, BackupBad, "log/20"},
		"base garbled":         {func(w *world, c *Config) { w.bases["b20"] = []byte("?\n") }, BackupBad, "base/b20"},
		"segment damaged":      {func(w *world, c *Config) { w.log["log/25"].Err = corrupt }, BackupBad, "log/25"},
		"segment damaged late": {func(w *world, c *Config) { w.log["log/25"].Tail = corrupt }, BackupBad, "log/25"},
		"segment gone":         {func(w *world, c *Config) { w.log["log/20"].Err = fs.ErrNotExist }, BackupBad, "log/20"},
		"segment swapped":      {func(w *world, c *Config) { w.log["log/20"].Data = w.log["log/25"].Data }, BackupBad, "log/20"},
		"segment cut short": {func(w *world, c *Config) {
			d := w.log["log/25"].Data
			w.log["log/25"].Data = d[:bytes.LastIndexByte(d[:len(d)-1], '\n')+1]
		}, BackupBad, ""},
		"engine stops early": {func(w *world, c *Config) { c.Engine = enginetest.Values{Stray: 1} }, BackupBad, ""},
		"engine stops early in time": {func(w *world, c *Config) {
			c.Engine, c.Pick, c.Target = enginetest.Values{Stray: 1}, Given, history.Target{Kind: history.AtTime, Time: minute(27)}
		}, BackupBad, ""},
		"data altered before the server starts": {func(w *world, c *Config) {
			c.Engine = meddling{c.Engine.(enginetest.Values)}
		}, BackupBad, ""},
		"ledger put back":      {func(w *world, c *Config) { c.Facts = failing(&ledger.RollbackError{Log: "shop"}) }, BackupBad, ""},
		"ledger damaged":       {func(w *world, c *Config) { c.Facts = failing(&ledger.CorruptError{Object: "x"}) }, BackupBad, ""},
		"store unreachable":    {func(w *world, c *Config) { c.Facts = failing(boom) }, EnvironmentBad, ""},
		"store fails at base":  {func(w *world, c *Config) { w.baseErr = boom }, EnvironmentBad, ""},
		"store times out":      {func(w *world, c *Config) { w.log["log/20"].Tail = os.ErrDeadlineExceeded }, EnvironmentBad, ""},
		"no room":              {func(w *world, c *Config) { c.FreeBytes = func(string) (int64, error) { return 1, nil } }, EnvironmentBad, ""},
		"disk full at replay":  {failAt("replay", syscall.ENOSPC), EnvironmentBad, ""},
		"server does not run":  {failAt("launch", boom), EnvironmentBad, ""},
		"server cannot answer": {failAt("verify", boom), EnvironmentBad, ""},
		"scratch is a file": {func(w *world, c *Config) {
			file := filepath.Join(c.Scratch, "..", "file")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				panic(err)
			}
			c.Scratch = filepath.Join(file, "scratch")
		}, EnvironmentBad, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			c := w.config(t)
			root := c.Scratch
			f.plant(w, &c)
			r, err := Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict != f.verdict || r.Reason == "" || (r.Lost != "") != (r.Verdict == BackupBad) {
				t.Errorf("report: %s", r)
			}
			if f.object != "" && (r.Damaged == nil || r.Damaged.Name != f.object) {
				t.Errorf("damaged: %+v, want %s", r.Damaged, f.object)
			}
			if len(r.Signed) == 0 {
				t.Error("not signed")
			}
			requireEmpty(t, root)
		})
	}
}

func failing(err error) func(context.Context) (Facts, error) {
	return func(context.Context) (Facts, error) { return Facts{}, err }
}

func failAt(step string, err error) func(*world, *Config) {
	return func(_ *world, c *Config) {
		c.Engine = enginetest.Values{Fault: func(at string) error {
			if at == step {
				return err
			}
			return nil
		}}
	}
}

// meddling alters the restored data before it looks at it.
type meddling struct{ enginetest.Values }

func (m meddling) Launch(ctx context.Context, dir string, r engine.Reached) (engine.Server, error) {
	path := filepath.Join(dir, enginetest.ValuesFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, bytes.Replace(data, []byte(" 3\n"), []byte(" 4\n"), 1), 0o600); err != nil {
		return nil, err
	}
	return m.Values.Launch(ctx, dir, r)
}

func TestDrillCleansUpWhenItIsCancelled(t *testing.T) {
	for _, at := range []string{"lay", "replay", "launch", "verify"} {
		t.Run(at, func(t *testing.T) {
			w := newWorld()
			c := w.config(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.Engine = enginetest.Values{Fault: func(step string) error {
				if step == at {
					cancel()
					return ctx.Err()
				}
				return nil
			}}
			c.Progress = func(step recovery.Step, _, _ int64) {
				if string(step) == at {
					cancel()
				}
			}
			if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			requireEmpty(t, c.Scratch)
		})
	}
}

func TestReportFieldNames(t *testing.T) {
	w := newWorld()
	c := w.config(t)
	w.log["log/25"].Err = fs.ErrNotExist
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	fields["checks"], fields["alternatives"] = nil, nil // Only proved drills have checks; here nothing else reaches the target.
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		if !strings.Contains(string(text), name) {
			t.Errorf("field %s is not documented", name)
		}
	}
	for _, name := range []string{"verdict", "lost", "damaged", "fetch_seconds", "lay_seconds", "replay_seconds", "start_seconds", "verify_seconds", "drill_seconds"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("no field %s in %s", name, b)
		}
	}
}

func FuzzVerifyReport(f *testing.F) {
	signer, err := ledger.NewSigner("h")
	if err != nil {
		f.Fatal(err)
	}
	good := &Report{Source: "shop", Verdict: Proved}
	if err := good.sign(signer); err != nil {
		f.Fatal(err)
	}
	other, err := signer.Sign("something else\n")
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{good.Signed, other, nil, []byte(title)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, _, err := VerifyReport(b, []string{signer.Verifier()})
		if err == nil && r.Source != "shop" {
			t.Errorf("accepted %q", b)
		}
	})
}
