package recovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/backstaydb/backstay/internal/disk"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/pack"
)

// Deps are what a plan is carried out with.
type Deps struct {
	Dir     string        // to restore into: not there, empty, or left by a restore that died
	Engine  engine.Engine // must be an engine.Restorer
	Origins []Origin      // the first is read, with its Mirror; the others are named where it turns out to be damaged
	Spool   engine.Log    // log that no repository has yet; nil for none
	Workers int           // of the extraction; zero leaves it to the repository

	Placement engine.Placement // the zero value lets the engine do as it does by itself

	Progress func(step Step, done, total int64) // bytes; one call at a time; may be nil
	Log      *slog.Logger                       // nil for none
	Now      func() time.Time                   // for the marker; nil means time.Now

	FreeBytes func(dir string) (int64, error) // nil asks the file system
}

// Step is a stage of Run that takes time.
type Step string

// The steps that report progress.
const (
	Lay    Step = "lay"
	Replay Step = "replay"
)

// Result is what a restore did. Its JSON names are a contract.
type Result struct {
	Dir       string         `json:"dir"`
	Base      string         `json:"base"`
	Segments  int            `json:"segments"`
	Reached   engine.Reached `json:"reached"`
	Restarted bool           `json:"restarted"` // an unfinished restore lay in the folder and was cleared
	Elsewhere []Elsewhere    `json:"elsewhere,omitempty"`

	LaidBytes  int64 `json:"laid_bytes"`  // of the base, plain
	LogBytes   int64 `json:"log_bytes"`   // read while replaying, plain
	FetchBytes int64 `json:"fetch_bytes"` // of the objects of the plan, as stored

	// FetchSeconds is the time in which the base's index was opened and the replay waited for log; fetching the
	// base's blocks runs along with laying them and is part of LaySeconds.
	FetchSeconds   float64 `json:"fetch_seconds"`
	LaySeconds     float64 `json:"lay_seconds"`     // blocks fetched, verified and written
	ReplaySeconds  float64 `json:"replay_seconds"`  // without the waits for log
	SyncSeconds    float64 `json:"sync_seconds"`    // files and folders made durable
	RestoreSeconds float64 `json:"restore_seconds"` // all of it
}

// run is one Run under way.
type run struct {
	plan   Plan
	deps   Deps
	folder *folder
	result Result
}

// Run carries out a plan. What it reads is claimed first, so that nobody drops it meanwhile. When it returns nil the folder holds
// the data, durably, exactly at the target. Errors about the backup itself are *DamageError; *MissedError says that the engine
// stopped elsewhere, *ForgottenError that the plan is out of date.
func Run(ctx context.Context, p Plan, d Deps) (Result, error) {
	if len(d.Origins) == 0 {
		return Result{}, errors.New("restore: no repository to read from")
	}
	restorer, ok := d.Engine.(engine.Restorer)
	if !ok {
		return Result{}, fmt.Errorf("restore: the engine %s cannot restore", d.Engine.Kind())
	}
	restorer, err := placed(restorer, d.Placement, d.Dir)
	if err != nil {
		return Result{}, fmt.Errorf("restore: %w", err)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.FreeBytes == nil {
		d.FreeBytes = disk.Free
	}
	begin := time.Now()
	release, err := d.Origins[0].Claim(ctx, p.Chain, d.Spool, "restore")
	if err != nil {
		return Result{}, err
	}
	defer release()
	f, err := take(d.Dir, mark{Source: p.Source, Target: p.Target.String(), Base: p.Chain.Base.ID, Started: d.Now(), Process: os.Getpid()})
	if err != nil {
		return Result{}, err
	}
	r := &run{plan: p, deps: d, folder: f}
	r.result = Result{Dir: f.path, Base: p.Chain.Base.ID, Segments: len(p.Chain.Segments), FetchBytes: p.FetchBytes, Restarted: f.restarted}
	if f.restarted {
		d.Log.Info("cleared an unfinished restore", "dir", f.path)
	}
	if err := r.do(ctx, restorer); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			err = &FullError{Dir: d.Dir, Err: err}
		}
		return Result{}, errors.Join(err, abandon(restorer), f.abandon())
	}
	r.result.RestoreSeconds = time.Since(begin).Seconds()
	if m := r.origin().Mirror; m != nil {
		r.result.Elsewhere = m.Taken()
	}
	return r.result, nil
}

// abandon gives up what the engine holds outside of the folder.
func abandon(r engine.Restorer) error {
	if a, ok := r.(engine.Abandoner); ok {
		return a.Abandon()
	}
	return nil
}

// placed is the restorer that restores into dir as p says.
func placed(r engine.Restorer, p engine.Placement, dir string) (engine.Restorer, error) {
	if !p.Standby && len(p.Tablespaces) == 0 {
		return r, nil
	}
	placer, ok := r.(engine.Placer)
	if !ok {
		return nil, fmt.Errorf("the engine %s has neither standbys nor tablespaces", r.Kind())
	}
	for from, to := range p.Tablespaces {
		if within(dir, to) {
			return nil, &InsideError{Dir: dir, From: from, To: to}
		}
	}
	return placer.Place(p)
}

// within reports whether a path lies in dir.
func within(dir, path string) bool {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	if path, err = filepath.Abs(path); err != nil {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// InsideError says that a tablespace was to be put into the folder that is restored into.
type InsideError struct{ Dir, From, To string }

func (e *InsideError) Error() string {
	return fmt.Sprintf("place tablespace %s: %s lies in %s, which is restored into", e.From, e.To, e.Dir)
}

// Hint says what to do instead.
func (e *InsideError) Hint() string {
	return "leave it out: a tablespace that is given no folder goes below the folder that is restored into"
}

func (r *run) origin() Origin { return r.deps.Origins[0] }

func (r *run) fromSpool(s history.Segment) bool {
	if r.deps.Spool == nil {
		return false
	}
	for _, own := range r.deps.Spool.Segments() {
		if own.Name == s.Name {
			return true
		}
	}
	return false
}

func (r *run) do(ctx context.Context, restorer engine.Restorer) error {
	if err := r.preflight(); err != nil {
		return err
	}
	if err := r.lay(ctx, restorer); err != nil {
		return err
	}
	killpoint.At(killpoint.RestoreLaid)
	if err := r.replay(ctx, restorer); err != nil {
		return err
	}
	killpoint.At(killpoint.RestoreReplayed)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("restore into %s: %w", r.deps.Dir, err)
	}
	begin := time.Now()
	err := r.folder.finish(func(dir string) error {
		if s, ok := restorer.(engine.Settler); ok {
			return s.Settle(ctx, dir)
		}
		return nil
	})
	r.result.SyncSeconds = time.Since(begin).Seconds()
	return err
}

// preflight refuses a disk that cannot even hold the base. How much the log adds only the replay knows: the pages it
// writes mostly stand in the base already.
func (r *run) preflight() error {
	free, err := r.deps.FreeBytes(r.folder.path)
	if err != nil {
		return fmt.Errorf("restore into %s: ask for free space: %w", r.deps.Dir, err)
	}
	if need := r.plan.LayBytes; free < need {
		return &NoSpaceError{Dir: r.deps.Dir, Need: need, Free: free}
	}
	return nil
}

// lay lays the base. If an object of it is damaged and another repository has it, it is laid again from the beginning:
// which blocks were good nobody has written down.
func (r *run) lay(ctx context.Context, restorer engine.Restorer) error {
	for {
		err := r.layOnce(ctx, restorer)
		if err == nil || ctx.Err() != nil || r.onDisk(err) || !r.origin().elsewhere(ctx, r.plan.Chain.Base.ID, err) {
			return err
		}
		r.deps.Log.Warn("an object of the base is damaged; laying it again with that of another repository", "error", err)
		if err := r.folder.clearData(); err != nil {
			return err
		}
	}
}

func (r *run) layOnce(ctx context.Context, restorer engine.Restorer) error {
	begin := time.Now()
	base, err := r.origin().OpenBase(ctx, r.plan.Chain.Base.ID)
	r.result.FetchSeconds += time.Since(begin).Seconds()
	if err != nil {
		return r.baseError(err)
	}
	if p, ok := restorer.(engine.Preflighter); ok {
		if err := r.tryFiles(ctx, base, p); err != nil {
			return errors.Join(err, base.Close())
		}
	}
	begin = time.Now()
	stats, err := base.Extract(ctx, r.folder.data(), pack.ExtractOptions{Workers: r.deps.Workers, Progress: r.progress(Lay)})
	r.result.LaySeconds += time.Since(begin).Seconds()
	if err = errors.Join(err, base.Close()); err != nil {
		return r.baseError(err)
	}
	r.result.LaidBytes = stats.Bytes
	return nil
}

// tryFiles asks the engine whether it can recover the base here, before all of it is laid.
func (r *run) tryFiles(ctx context.Context, base Base, p engine.Preflighter) error {
	needs := p.Needs()
	only := func(f engine.File) bool { return slices.Contains(needs, f.Name) }
	if _, err := base.Extract(ctx, r.folder.data(), pack.ExtractOptions{Workers: 1, Only: only}); err != nil {
		return r.baseError(err)
	}
	if err := p.Preflight(ctx, r.folder.data()); err != nil {
		if _, bad := Damaged(err); bad {
			return r.baseError(err)
		}
		return fmt.Errorf("restore into %s: %w", r.deps.Dir, err)
	}
	return r.folder.clearData()
}

func (r *run) progress(step Step) func(done, total int64) {
	if r.deps.Progress == nil {
		return nil
	}
	return func(done, total int64) { r.deps.Progress(step, done, total) }
}

func (r *run) replay(ctx context.Context, restorer engine.Restorer) error {
	log := joinLogs(r.plan.Chain.Segments, r.origin().OpenLog, r.deps.Spool)
	log.elsewhere = func(ctx context.Context, err error) bool { return r.origin().elsewhere(ctx, "", err) }
	goal, err := r.goal(ctx, log)
	if err != nil {
		return r.logError(log, err)
	}
	begin := time.Now()
	reached, err := restorer.Replay(ctx, r.folder.data(), log, goal)
	whole := time.Since(begin)
	if err != nil {
		return r.logError(log, err)
	}
	if reached.Position.IsZero() {
		// Nothing was replayed, so the data stands where the base does; an engine need not be able to tell.
		reached.Position, reached.Time = r.plan.Chain.Base.Stop, r.plan.Chain.Base.StopTime
	}
	if reached.Time.IsZero() {
		reached.Time = r.plan.Chain.Base.StopTime
	}
	bytes, waited := log.read()
	r.result.Reached, r.result.LogBytes = reached, bytes
	r.result.FetchSeconds += waited.Seconds()
	r.result.ReplaySeconds = max(0, whole-waited).Seconds()
	return check(goal, r.plan.Chain, reached)
}

// goal is where the engine is to stop. A time is left to the engine, unless the last segment runs on beyond a fork:
// then the commits after the fork, which may be older than the target, must not be replayed.
func (r *run) goal(ctx context.Context, log engine.Log) (engine.Goal, error) {
	c := r.plan.Chain
	g := engine.Goal{Position: c.Stop, Taken: newestTimeline(r.origin().History), Progress: r.progress(Replay)}
	if !c.Stop.IsZero() {
		return g, nil
	}
	g.Time = c.Until
	if n := len(c.Segments); n > 0 && c.Segments[n-1].To.Seq > leftAt(c, c.Segments[n-1].To.Timeline) {
		p, _, err := LastCommit(ctx, c, log)
		g.Position = p
		return g, err
	}
	return g, nil
}

// newestTimeline is the highest timeline that is known of a source.
func newestTimeline(h history.History) (newest uint32) {
	for _, b := range h.Bases {
		newest = max(newest, b.Stop.Timeline)
	}
	for _, s := range h.Segments {
		newest = max(newest, s.To.Timeline)
	}
	for _, f := range h.Forks {
		newest = max(newest, f.Child)
	}
	return newest
}

// check holds what the engine says against what it was asked.
func check(g engine.Goal, c history.Chain, reached engine.Reached) error {
	switch {
	case !g.Position.IsZero() && !reached.Position.Equal(g.Position):
		return &MissedError{Want: "position " + g.Position.String(), Got: "position " + reached.Position.String()}
	case g.Position.IsZero() && reached.Position.Before(c.Base.Stop):
		return &MissedError{Want: "position " + c.Base.Stop.String() + " at least", Got: "position " + reached.Position.String()}
	case g.Position.IsZero() && reached.Time.After(g.Time):
		return &MissedError{Want: g.Time.Format(time.RFC3339Nano), Got: reached.Time.Format(time.RFC3339Nano)}
	default:
		return nil
	}
}
