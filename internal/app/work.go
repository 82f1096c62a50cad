package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/hook"
	"github.com/backstaydb/backstay/internal/process"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/secret"
	"github.com/backstaydb/backstay/internal/trace"
	"github.com/backstaydb/backstay/internal/watch"
)

// The kinds of work that hooks stand around.
const (
	workBase    = "base"
	workRestore = "restore"
	workDrill   = "drill"
)

// record writes entries down.
type record func(context.Context, audit.Entry) error

// hooked does work between its hooks, and writes down what they did. A hook before it that fails keeps it from being begun; one after it
// has it fail.
func (h *Host) hooked(ctx context.Context, source, work string, record record, do func() error) error {
	e := hook.Event{Moment: "before", Work: work, Source: source, Job: watch.JobOf(ctx)}
	if err := h.runHooks(ctx, e, record); err != nil {
		return err
	}
	err := do()
	e.Moment, e.Outcome = "after", string(audit.OK)
	switch {
	case errors.Is(err, context.Canceled):
		e.Outcome = string(audit.Stopped)
	case err != nil:
		e.Outcome = string(audit.Failed)
	}
	if err != nil {
		e.Error = secret.Mask(err.Error())
	}
	// What was stopped was thawed, unlocked or told about all the same; each hook has its own time.
	return errors.Join(err, h.runHooks(context.WithoutCancel(ctx), e, record))
}

// runHooks does the hooks of one moment.
func (h *Host) runHooks(ctx context.Context, e hook.Event, record record) error {
	hooks, err := h.hooksFor(ctx, h.Config.Sources[e.Source].Hooks.For(e.Moment, e.Work))
	if err != nil {
		return fmt.Errorf("hooks %s %s of %s: %w", e.Moment, e.Work, e.Source, err)
	}
	results, err := hook.Run(ctx, hooks, e)
	for _, r := range results {
		entry := audit.Entry{What: audit.Hook, Source: e.Source, Objects: []string{r.Name}, Why: e.Moment + " " + e.Work, Since: h.Now().Add(-r.Took), Outcome: audit.OK, Who: audit.Who{Job: e.Job}}
		if r.Err != nil {
			entry.Outcome, entry.Error = audit.Failed, r.Err.Error()
			h.Log.WarnContext(ctx, "a hook failed", "source", e.Source, "hook", r.Name, "moment", entry.Why, "err", r.Err)
		}
		if err := record(context.WithoutCancel(ctx), entry); err != nil {
			h.Log.WarnContext(ctx, "the audit log takes nothing", "err", err)
		}
	}
	return err
}

// hooksFor finds the secrets of hooks.
func (h *Host) hooksFor(ctx context.Context, all []config.Hook) ([]hook.Hook, error) {
	var hooks []hook.Hook
	for _, c := range all {
		one := hook.Hook{Command: c.Command, Dir: h.Config.Dir(), Timeout: time.Duration(c.Timeout), GoOn: c.OnFailure == "go_on"}
		if c.HTTP != "" {
			var err error
			if one.URL, err = h.address(ctx, c.HTTP); err != nil {
				return nil, err
			}
		}
		hooks = append(hooks, one)
	}
	return hooks, nil
}

// tracing has what is begun with the context that it returns sent to a collector, if one is named; end sends the last of it.
func (h *Host) tracing(ctx context.Context, version string) (_ context.Context, end func()) {
	c := trace.Config{Version: version, Log: h.Log}
	if h.Config != nil && h.Config.Trace != nil {
		c.Endpoint = h.Config.Trace.OTLP
	}
	ctx, shutdown, err := trace.Start(ctx, c)
	if err != nil {
		h.Log.Warn("nothing is traced", "err", err)
	}
	return ctx, func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := shutdown(limited); err != nil {
			h.Log.Warn("the last traces are not sent", "err", err)
		}
	}
}

// phase is a part of a piece of work that took some seconds.
type phase struct {
	name    string
	seconds float64
}

// phasesOf are those of a drill.
func phasesOf(r drill.Report) []phase {
	return []phase{{"fetch", r.FetchSeconds}, {"lay", r.LaySeconds}, {"replay", r.ReplaySeconds}, {"start", r.StartSeconds}, {"verify", r.VerifySeconds}}
}

// tell adds phases to the trace of an operation, one behind the other from began on.
func tell(ctx context.Context, began time.Time, phases []phase) {
	for _, p := range phases {
		if p.seconds <= 0 {
			continue
		}
		ended := began.Add(time.Duration(p.seconds * float64(time.Second)))
		trace.Past(ctx, p.name, began, ended)
		began = ended
	}
}

// working are hands whose work stands between hooks, is traced, and says in the log when it begins and ends.
type working struct {
	hands
}

// Base implements watch.Hands.
func (w working) Base(ctx context.Context, source, kind string) (b api.Base, err error) {
	err = w.traced(ctx, trace.Backup, source, func(ctx context.Context, o *trace.Operation) error {
		began := w.d.host().Now()
		if b, err = w.hands.Base(ctx, source, kind); err == nil {
			tell(ctx, began, phasesOfBase(w.d.part(source).took()))
		}
		o.Set(slog.String("base", b.ID), slog.Int64("bytes", b.StoredBytes))
		return err
	})
	return b, err
}

// Drill implements watch.Hands.
func (w working) Drill(ctx context.Context, source, to string, checks []config.Check) (r drill.Report, err error) {
	h := w.d.host()
	err = w.traced(ctx, trace.Drill, source, func(ctx context.Context, o *trace.Operation) error {
		return h.hooked(ctx, source, workDrill, w.d.record, func() error {
			if err := process.Aside(ctx, func(ctx context.Context) error {
				r, err = w.hands.Drill(ctx, source, to, checks)
				return err
			}); err != nil {
				return err
			}
			tell(ctx, r.Began, phasesOf(r))
			o.Set(slog.String("verdict", string(r.Verdict)), slog.String("report", r.ID()), slog.Int64("bytes", r.LaidBytes+r.LogBytes))
			return nil
		})
	})
	return r, err
}

// Fingerprint implements watch.Hands.
func (w working) Fingerprint(ctx context.Context, source string) (taken watch.Taken, err error) {
	err = w.traced(ctx, trace.Fingerprint, source, func(ctx context.Context, o *trace.Operation) error {
		taken, err = w.hands.Fingerprint(ctx, source)
		o.Set(slog.Int64("rows", taken.Rows), slog.Int64("bytes", taken.Bytes))
		return err
	})
	return taken, err
}

// Check implements watch.Hands.
func (w working) Check(ctx context.Context, source, repo string, what watch.Check) (c repository.CheckReport, err error) {
	err = w.traced(ctx, trace.Check, source, func(ctx context.Context, o *trace.Operation) error {
		o.Set(slog.String("repository", repo), slog.Bool("deep", what.Deep))
		return process.Aside(ctx, func(ctx context.Context) error {
			c, err = w.hands.Check(ctx, source, repo, what)
			return err
		})
	})
	return c, err
}

func (w working) traced(ctx context.Context, kind trace.Kind, source string, do func(context.Context, *trace.Operation) error) error {
	log := w.d.host().Log
	ctx, o := trace.Begin(ctx, kind, source, slog.String("job", watch.JobOf(ctx)))
	log.InfoContext(ctx, string(kind)+" begins", "source", source)
	began := time.Now()
	err := do(ctx, o)
	o.End(err)
	if err != nil {
		log.WarnContext(ctx, string(kind)+" failed", "source", source, "err", err)
		return err
	}
	log.InfoContext(ctx, string(kind)+" ended", "source", source, "took", time.Since(began).Round(time.Millisecond))
	return nil
}
