package drill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/internal/disk"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/recovery"
	"github.com/backstaydb/backstay/internal/scratch"
)

// Config says what is drilled and with what.
type Config struct {
	Source     string
	Repository string                                   // its name, for people
	Engine     engine.Engine                            // must be an engine.Restorer and an engine.Launcher
	Facts      func(ctx context.Context) (Facts, error) // reads the repository

	Pick   Pick           // "" means Latest
	Target history.Target // of Given
	Random *rand.Rand     // of Random; nil means one that differs each time

	Questions []Question // of the owner, asked of data that the engine finds sound
	Dir       string     // where their commands run

	Scratch string // folder to make the scratch folder in
	Workers int    // of the extraction
	Limits  recovery.Limits

	Tool   string // version of Backstay
	Host   string
	Signer signer           // nil: the report is not signed
	Now    func() time.Time // nil means time.Now
	Log    *slog.Logger     // nil for none

	Progress  func(step recovery.Step, done, total int64) // may be nil
	FreeBytes func(dir string) (int64, error)             // nil asks the file system
}

// Facts are what a repository says of itself.
type Facts struct {
	Origin recovery.Origin   // of the repository, with its history, and with that of Spool
	Spool  engine.Log        // log that lies on this host and in no repository yet; nil for none
	Others []recovery.Origin // that could serve instead, for advice

	// Fingerprints opens those that were taken of the source, the newest ones, in any order; nil if there are none.
	Fingerprints func(ctx context.Context) ([]engine.Fingerprint, error)
	Checkpoint   Checkpoint
}

// stopTimeout bounds how long a launched server may take to stop.
const stopTimeout = time.Minute

// Run carries out one drill. Whatever it found about the backup or the environment is in the report. An error means
// that there is none: ctx ended, the target cannot be reached or read, or the report could not be signed.
func Run(ctx context.Context, c Config) (Report, error) {
	c = c.withDefaults()
	begin := time.Now()
	d := &drill{config: c, report: Report{
		Source: c.Source, Engine: c.Engine.Kind(), Repository: c.Repository, Tool: c.Tool, Host: c.Host,
		Asked: c.asked(), Began: c.Now().UTC(),
	}}
	err := d.run(ctx)
	if ctx.Err() != nil {
		return Report{}, fmt.Errorf("drill %s: %w", c.Source, context.Cause(ctx))
	}
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return Report{}, fmt.Errorf("drill %s: %w", c.Source, refused.err)
	}
	if err != nil {
		d.report.blame(err)
	}
	d.report.Ended = c.Now().UTC()
	d.report.DrillSeconds = time.Since(begin).Seconds()
	if c.Signer != nil {
		if err := d.report.sign(c.Signer); err != nil {
			return Report{}, fmt.Errorf("drill %s: %w", c.Source, err)
		}
	}
	return d.report, nil
}

func (c Config) withDefaults() Config {
	if c.Pick == "" {
		c.Pick = Latest
	}
	if c.Random == nil {
		c.Random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.FreeBytes == nil {
		c.FreeBytes = disk.Free
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) asked() string {
	if c.Pick == Given {
		return c.Target.String()
	}
	return string(c.Pick)
}

// refusedError is a question that cannot be drilled, so that there is nothing to report.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }

func (e *refusedError) Unwrap() error { return e.err }

// drill is one Run under way.
type drill struct {
	config Config
	report Report
	facts  Facts
	plan   recovery.Plan

	fingerprint *engine.Fingerprint // that is recovered to; nil: another moment is
}

// run goes: read the repository, choose the target, plan; make scratch; restore; see that it stands at the target;
// start the server; ask it. It returns at the first step that fails.
func (d *drill) run(ctx context.Context) (err error) {
	launcher, ok := d.config.Engine.(engine.Launcher)
	if !ok {
		return &refusedError{fmt.Errorf("the engine %s cannot be started", d.config.Engine.Kind())}
	}
	if d.facts, err = d.config.Facts(ctx); err != nil {
		return fmt.Errorf("read repository %s: %w", d.config.Repository, err)
	}
	d.report.Checkpoint = d.facts.Checkpoint
	if err := d.choose(ctx); err != nil {
		return err
	}
	if _, err := Sweep(d.config.Scratch); err != nil {
		d.config.Log.Warn("what a drill left that died is still there", "error", err)
	}
	release, err := d.facts.Origin.Claim(ctx, d.plan.Chain, d.facts.Spool, "drill")
	if err != nil {
		return err
	}
	defer release()
	d.facts.Origin.Hold = nil // once for all that is read
	folder, err := scratch.New(d.config.Scratch)
	if err != nil {
		return err
	}
	defer func() {
		if closed := folder.Close(); closed != nil {
			d.config.Log.Warn("scratch was not removed; the next drill tries again", "error", closed)
		}
	}()
	if err := d.room(folder.Path()); err != nil {
		return err
	}
	guarded, stop := d.guard(ctx, folder.Path())
	defer stop()
	err = d.prove(guarded, launcher, folder.Path())
	if full, ok := errors.AsType[*recovery.NoSpaceError](context.Cause(guarded)); ok {
		return full
	}
	return err
}

// prove restores into a scratch folder, and asks what was restored.
func (d *drill) prove(ctx context.Context, launcher engine.Launcher, scratch string) error {
	res, err := d.restore(ctx, filepath.Join(scratch, "data"))
	if err != nil {
		return err
	}
	if err := d.stands(ctx, res.Reached); err != nil {
		return err
	}
	return d.ask(ctx, launcher, res, scratch)
}

// choose settles target and plan.
func (d *drill) choose(ctx context.Context) error {
	h := d.facts.Origin.History
	target := history.Target{Kind: history.Latest}
	switch d.config.Pick {
	case Random:
		var err error
		if target, err = d.random(ctx, h); err != nil {
			return err
		}
	case Fingerprinted:
		all, err := d.fingerprints(ctx)
		if err != nil {
			return err
		}
		if target, err = d.fingerprinted(ctx, all); err != nil {
			return err
		}
	case Given:
		resolved, _, err := recovery.Resolve(ctx, d.facts.Origin, d.facts.Spool, d.config.Engine, d.config.Target)
		if err != nil {
			if _, bad := recovery.Damaged(err); bad {
				return err
			}
			return &refusedError{err}
		}
		target = resolved
	}
	plan, err := recovery.PlanFor(h, target, d.config.Limits)
	if err != nil && d.config.Pick == Given {
		err = recovery.AskedFor(d.config.Target, err)
	}
	if err != nil {
		return &refusedError{err}
	}
	plan.NoteSpool(d.facts.Spool)
	d.plan, d.report.Local = plan, plan.Local
	d.report.Target, d.report.Base, d.report.Segments = target.String(), plan.Chain.Base.ID, len(plan.Chain.Segments)
	d.report.Want, d.report.FetchBytes = plan.Chain.Stop, plan.FetchBytes
	return nil
}

func (d *drill) restore(ctx context.Context, dir string) (recovery.Result, error) {
	res, err := recovery.Run(ctx, d.plan, recovery.Deps{
		Dir: dir, Engine: d.config.Engine, Origins: append([]recovery.Origin{d.facts.Origin}, d.facts.Others...),
		Spool: d.facts.Spool, Workers: d.config.Workers, Progress: d.config.Progress, Log: d.config.Log,
		Now: d.config.Now, FreeBytes: d.config.FreeBytes,
	})
	r := &d.report
	if clocked, ok := d.config.Engine.(engine.Clocked); ok && err == nil {
		r.Clock = clocked.Clock()
	}
	r.Reached, r.LaidBytes, r.LogBytes = res.Reached, res.LaidBytes, res.LogBytes
	r.FetchSeconds, r.LaySeconds, r.ReplaySeconds = res.FetchSeconds, res.LaySeconds+res.SyncSeconds, res.ReplaySeconds
	return res, err
}

// stands asserts that a target in time was met to the commit, by the marks of the log: recovery has seen to
// positions already, and the engine's own word is not enough.
func (d *drill) stands(ctx context.Context, reached engine.Reached) error {
	if !d.plan.Chain.Stop.IsZero() {
		return nil
	}
	log := recovery.OpenLog(d.plan, d.facts.Origin, d.facts.Spool)
	last, next, err := recovery.LastCommit(ctx, d.plan.Chain, log)
	if err != nil {
		return err
	}
	d.report.Want = last
	if reached.Position.Seq < last.Seq || !next.IsZero() && reached.Position.Seq >= next.Seq {
		return &recovery.MissedError{Want: "position " + last.String(), Got: "position " + reached.Position.String()}
	}
	return nil
}

// sentinel reads which second the data says it is. One that cannot be read leaves it to the commit times.
func (d *drill) sentinel(ctx context.Context, server engine.Server) {
	reader, ok := server.(engine.SentinelReader)
	if !ok {
		return
	}
	s, ok, err := reader.Sentinel(ctx)
	if err != nil {
		d.config.Log.Warn("the sentinel cannot be read", "source", d.config.Source, "error", err)
	}
	if ok && err == nil {
		s.Time = s.Time.UTC()
		d.report.Sentinel = &s
	}
}

// ask starts the server and puts the engine's questions to it, then those of the owner. The server is stopped also when ctx
// has ended.
func (d *drill) ask(ctx context.Context, launcher engine.Launcher, res recovery.Result, scratch string) error {
	begin := time.Now()
	server, err := launcher.Launch(ctx, res.Dir, res.Reached)
	d.report.StartSeconds = time.Since(begin).Seconds()
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := server.Stop(stop); err != nil {
			d.config.Log.Warn("the scratch server did not stop cleanly", "error", err)
		}
	}()
	begin = time.Now()
	checks, err := server.Verify(ctx)
	d.report.VerifySeconds = time.Since(begin).Seconds()
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	d.sentinel(ctx, server)
	d.report.Checks = engineChecks(checks)
	if d.report.sound() {
		if err := d.compare(ctx, server); err != nil {
			return err
		}
	}
	if d.report.sound() {
		if err := d.questions(ctx, server, scratch); err != nil {
			return err
		}
	}
	d.report.judge()
	return nil
}
