package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/backstaydb/backstay/internal/archive"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/hook"
	"github.com/backstaydb/backstay/internal/secret"
	"github.com/backstaydb/backstay/internal/trace"
	"github.com/backstaydb/backstay/internal/watch"
)

// ownBase stands around a base that an archive takes by itself: the first of a source, one after a gap, one that a repository lacks. The
// owner's hooks are run around it and it is traced, as with any other; but a hook that fails does not keep it from being taken, since
// nothing is recoverable before it stands.
func (d *daemon) ownBase(ctx context.Context, source string, take func(context.Context) error) error {
	h := d.host()
	job := h.Now().UTC().Format("20060102T150405.000000Z") + "-" + source + "-base-own"
	ctx, o := trace.Begin(watch.WithJob(ctx, job), trace.Backup, source, slog.String("job", job))
	e := hook.Event{Moment: "before", Work: workBase, Source: source, Job: job}
	if err := h.runHooks(ctx, e, d.record); err != nil {
		h.Log.WarnContext(ctx, "a base that must be taken is taken all the same", "source", source, "err", err)
	}
	err := take(ctx)
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
	if after := h.runHooks(context.WithoutCancel(ctx), e, d.record); after != nil {
		h.Log.WarnContext(ctx, "a base stands, and a hook after it failed", "source", source, "err", after)
	}
	o.End(err)
	return err
}

// takeOwn has the daemon stand around a base; without one, as in a command that only takes a base, it is taken as it is.
func (p *protected) takeOwn(ctx context.Context, take func(context.Context) error) error {
	if p.own == nil {
		return take(ctx)
	}
	return p.own(ctx, take)
}

// took is what the parts of the base took that was kept last.
func (p *protected) took() archive.Took {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastBase
}

// phasesOfBase are those of a base.
func phasesOfBase(t archive.Took) []phase {
	return []phase{{"copy", t.Copy.Seconds()}, {"wait for log", t.Wait.Seconds()}, {"commit", t.Commit.Seconds()}}
}
