package drill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/sqlite"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/recovery"
)

// recording is what a real SQLite source shipped while an application wrote to it.
type recording struct {
	history history.History
	bases   map[string]*enginetest.Sink
	log     *enginetest.Log

	fingerprints []engine.Fingerprint
	each         func(path string) // before each commit; may be nil
}

// record protects a new database, lets an application commit n times, and takes a base before and one half-way.
func record(t *testing.T, n int) *recording {
	t.Helper()
	r := &recording{bases: map[string]*enginetest.Sink{}, history: history.History{Source: "app", Engine: "sqlite"}}
	r.record(t, n, r.base)
	return r
}

// take takes a base of a source and remembers it.
type take func(t *testing.T, src engine.Source, after history.Position) engine.BaseResult

func (r *recording) record(t *testing.T, n int, take take) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := sql.Open("sqlite", path+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	sqlExec(t, db, "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)")
	src, err := sqlite.Engine{}.Connect(t.Context(), "sqlite:"+path, engine.Options{Name: "app", StateDir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	first := take(t, src, history.Position{})
	rec := enginetest.NewRecorder(first.Bookmark)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- src.Follow(ctx, first.Bookmark, rec.Ship) }()
	for i := range n {
		if r.each != nil {
			r.each(path)
		}
		sqlExec(t, db, "INSERT INTO orders (item) VALUES (?)", fmt.Sprintf("item %d %0200d", i, i))
		if i == n/2 {
			captured(t, rec, i+1)
			take(t, src, rec.Bookmark().Position)
		}
	}
	captured(t, rec, n)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if r.log, err = rec.Log(t.Context(), 7, sqlite.Engine{}); err != nil {
		t.Fatal(err)
	}
	r.history.Segments, r.history.Whole = r.log.Segments(), rec.Whole()
}

// captured waits until n commits were shipped.
func captured(t *testing.T, rec *enginetest.Recorder, n int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		commits, _, _ := rec.Counts()
		if commits >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("captured %d of %d commits", commits, n)
		}
	}
}

func sqlExec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

func (r *recording) base(t *testing.T, src engine.Source, after history.Position) engine.BaseResult {
	t.Helper()
	id := fmt.Sprintf("b%d", len(r.bases)+1)
	sink := &enginetest.Sink{}
	res, err := src.TakeBase(t.Context(), engine.BaseOptions{After: after}, sink)
	if err != nil {
		t.Fatal(err)
	}
	res.Base.ID = id
	r.bases[id] = sink
	r.history.Bases = append(r.history.Bases, res.Base)
	return res
}

func (r *recording) facts(context.Context) (Facts, error) {
	return Facts{Fingerprints: func(context.Context) ([]engine.Fingerprint, error) { return r.fingerprints, nil }, Origin: recovery.Origin{
		Name: "local", History: r.history,
		OpenBase: func(_ context.Context, id string) (recovery.Base, error) { return sinkBase{r.bases[id]}, nil },
		OpenLog:  func(segments []history.Segment) engine.Log { return partOfLog{r.log, segments} },
	}}, nil
}

type sinkBase struct{ *enginetest.Sink }

func (s sinkBase) Extract(_ context.Context, dir string, _ pack.ExtractOptions) (stats pack.ExtractStats, err error) {
	for _, f := range s.Files {
		stats.Bytes += f.Size
	}
	return stats, s.Lay(dir)
}

func (sinkBase) Close() error { return nil }

// partOfLog is the segments of a chain.
type partOfLog struct {
	all   engine.Log
	chain []history.Segment
}

func (l partOfLog) Segments() []history.Segment { return l.chain }

func (l partOfLog) Open(ctx context.Context, i int) (engine.LogSegment, error) {
	return l.all.Open(ctx, slices.IndexFunc(l.all.Segments(), func(s history.Segment) bool { return s.Name == l.chain[i].Name }))
}

func TestDrillSQLite(t *testing.T) {
	r := record(t, 60)
	if w := r.history.Windows(); len(w) != 1 || len(r.history.AllGaps()) != 0 {
		t.Fatalf("windows %+v", w)
	}
	c := newWorld().config(t)
	c.Engine, c.Facts, c.Now = sqlite.Engine{}, r.facts, nil
	prove := func(asked string) Report {
		t.Helper()
		report, err := Run(t.Context(), c)
		if err != nil {
			t.Fatalf("%s: %v", asked, err)
		}
		if report.Verdict != Proved || report.Reached.Position.Seq != report.Want.Seq || len(report.Checks) < 2 {
			t.Errorf("%s: %s\n%+v", asked, report, report.Checks)
		}
		return report
	}
	end := r.history.Whole.Position
	if got := prove("latest").Reached.Position; !got.Equal(end) {
		t.Errorf("latest is %s, want %s", got, end)
	}
	c.Pick = Random
	bases := map[string]int{}
	for range 20 {
		bases[prove("random").Base]++
	}
	if len(bases) != 2 {
		t.Errorf("bases drilled: %v", bases)
	}
	c.Pick = Given
	for seq := r.history.Bases[0].Stop.Seq; seq <= end.Seq; seq += 9 {
		c.Target = history.Target{Kind: history.Custom, Key: "txid", Value: fmt.Sprint(seq)}
		if got := prove(c.Target.String()).Reached.Position; got.Seq != seq {
			t.Errorf("%s is %s", c.Target, got)
		}
	}
	requireEmpty(t, c.Scratch)
}

func TestDrillSQLiteFindsDamage(t *testing.T) {
	r := record(t, 30)
	c := newWorld().config(t)
	c.Engine, c.Facts, c.Now = sqlite.Engine{}, r.facts, nil
	c.Pick, c.Target = Given, history.Target{Kind: history.AtPosition, Position: history.At(0, r.history.Whole.Position.Seq-1)}
	r.history.Bases = r.history.Bases[:1]
	sound, err := Run(t.Context(), c)
	if err != nil || sound.Verdict != Proved {
		t.Fatalf("%s, %v", sound, err)
	}
	// What was damaged and is proved nevertheless was not needed.
	judge := func(what string, report Report) (bad bool) {
		t.Helper()
		if report.Verdict == EnvironmentBad || report.Verdict == Proved && report.Reached.Digest != sound.Reached.Digest {
			t.Errorf("%s: %s", what, report)
		}
		return report.Verdict == BackupBad
	}
	found := 0
	for seg := range r.log.Segments() {
		for _, at := range []int{40, 130, 190} {
			// The last segment is read file by file, since the target lies within it.
			r.log.Damage(seg, 0, at)
			report, err := Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			r.log.Damage(seg, 0, at)
			if judge(fmt.Sprintf("segment %d, byte %d", seg, at), report) {
				found++
			}
		}
	}
	if found == 0 {
		t.Error("no damage of the log was found")
	}
	// Close to the base few of its pages are overwritten by the log.
	found = 0
	c.Target.Position = history.At(0, r.history.Bases[0].Stop.Seq+1)
	if sound, err = Run(t.Context(), c); err != nil || sound.Verdict != Proved {
		t.Fatalf("%s, %v", sound, err)
	}
	for name, data := range r.bases["b1"].Data {
		for _, at := range []int{0, 20, len(data) / 2, len(data) - 1} {
			data[at] ^= 1
			report, err := Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			data[at] ^= 1
			if judge(fmt.Sprintf("%s, byte %d", name, at), report) {
				found++
			}
		}
	}
	if found == 0 {
		t.Error("no damage of the base was found")
	}
	if report, err := Run(t.Context(), c); err != nil || report.Verdict != Proved {
		t.Errorf("intact again: %s, %v", report, err)
	}
}

// TestDrillSaysWhichSecond recovers data with a sentinel in it.
func TestDrillSaysWhichSecond(t *testing.T) {
	var w engine.Sentinel
	written := 0
	r := &recording{bases: map[string]*enginetest.Sink{}, history: history.History{Source: "app", Engine: "sqlite"}}
	r.each = func(path string) {
		var err error
		if w == nil {
			w, err = sqlite.Engine{}.OpenSentinel(t.Context(), "sqlite:"+path, engine.Options{Name: "app", Now: time.Now})
		}
		if err == nil {
			err = w.Write(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		written++
	}
	r.record(t, 10, r.base)
	defer w.Close()
	c := newWorld().config(t)
	c.Source, c.Engine, c.Facts, c.Now = "app", sqlite.Engine{}, r.facts, nil
	report, err := Run(t.Context(), c)
	if err != nil || report.Verdict != Proved {
		t.Fatalf("%s, %v", report, err)
	}
	at, word := report.Second()
	if s := report.Sentinel; s == nil || s.Count < 1 || s.Count > int64(written) || word != "by the sentinel" || !at.Equal(s.Time) {
		t.Errorf("%+v of %d rows, %s, %s", s, written, at, word)
	}
	page, err := Page(report.Signed, c.Signer.(*ledger.Signer).Verifier())
	if err != nil || !strings.Contains(string(page), "the sentinel says") {
		t.Errorf("%v, page %s", err, page)
	}
	report.Reached.Time = report.Sentinel.Time.Add(time.Hour) // it was not written for an hour
	if at, word := report.Second(); word != "by the last commit" || !at.Equal(report.Reached.Time) {
		t.Errorf("a sentinel of before: %s, %s", at, word)
	}
}
