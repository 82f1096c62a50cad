package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/trace"
	"github.com/backstaydb/backstay/internal/watch"
)

// Deed is what a command is about to do: it is written into the audit log, traced, and stands between the owner's hooks.
type Deed struct {
	What       audit.Action
	Source     string
	Repository string   // "" for all of the source
	Objects    []string // to what it is done, as far as that is known before
	Why        string   // "" for asked
	Command    string   // "backstay restore"
	Tool       string   // version of backstay
	Needed     bool     // it is not done unless it can be written down
}

// asked is why something is done where nobody said more.
const asked = "asked for"

// deeds are those that are traced. Hooks around a base stand where it is taken, which may be in a daemon.
var deeds = map[audit.Action]struct {
	trace trace.Kind
	hooks string
}{audit.Base: {trace: trace.Backup}, audit.Restore: {trace.Restore, workRestore}, audit.Drill: {trace.Drill, workDrill}}

// Account is what is told of a deed that is being done.
type Account struct {
	audit.Entry
	operation *trace.Operation
}

// Took takes note of a base.
func (a *Account) Took(b api.Base) {
	a.Objects, a.Bytes = append(a.Objects, "base/"+b.ID), b.StoredBytes
}

// Drilled takes note of a drill.
func (a *Account) Drilled(ctx context.Context, r drill.Report) {
	a.Repository, a.Bytes = r.Repository, r.LaidBytes+r.LogBytes
	a.Objects = append(a.Objects, "report/"+r.ID())
	tell(ctx, r.Began, phasesOf(r))
}

// Restored takes note of a restore.
func (a *Account) Restored(ctx context.Context, p *Restore, r *api.Restored) {
	a.Repository, a.Bytes = p.Repository, p.Plan.LayBytes+p.Plan.ReplayBytes
	a.Objects = append(a.Objects, "base/"+p.Plan.Chain.Base.ID, "at "+r.Position.Plain())
	tell(ctx, a.Since, []phase{{"fetch", r.FetchSeconds}, {"lay", r.LaySeconds}, {"replay", r.ReplaySeconds}, {"sync", r.SyncSeconds}})
}

// Record writes into the audit log of this host that a deed begins and how it went, beside a daemon too. do tells what it found. Most
// deeds matter more than that they are written down: where the log takes nothing they are done with a warning.
func (h *Host) Record(ctx context.Context, d Deed, do func(context.Context, *Account) error) error {
	log, err := h.auditLog(ctx, d.Tool, d.Command)
	write := func(ctx context.Context, e audit.Entry) error {
		if err != nil {
			return err
		}
		_, err := log.Append(ctx, e)
		return err
	}
	a := newAccount(h, d)
	if err := write(ctx, a.Entry); err != nil {
		if d.Needed {
			return fmt.Errorf("%s is not done, since it cannot be written down: %w", d.Command, err)
		}
		h.Log.Warn("the audit log takes nothing", "err", err)
	}
	done := h.carryOut(ctx, d, a, write, do)
	a.Outcome = audit.OK
	switch {
	case errors.Is(done, context.Canceled):
		a.Outcome = audit.Stopped
	case done != nil:
		a.Outcome = audit.Failed
	}
	if done != nil {
		a.Error = done.Error()
	}
	if log == nil {
		return done
	}
	if err := errors.Join(write(context.WithoutCancel(ctx), a.Entry), log.Close()); err != nil { // how it went stands after Ctrl-C too
		h.Log.Warn("the audit log takes nothing", "err", err)
	}
	return done
}

func newAccount(h *Host, d Deed) *Account {
	a := &Account{Entry: audit.Entry{What: d.What, Source: d.Source, Repository: d.Repository, Objects: d.Objects, Why: d.Why, Outcome: audit.Began, Since: h.Now()}}
	if a.Why == "" {
		a.Why = asked
	}
	a.Who.Job = rand.Text()
	return a
}

// carryOut does a deed in a trace and between hooks.
func (h *Host) carryOut(ctx context.Context, d Deed, a *Account, write record, do func(context.Context, *Account) error) error {
	kind, traced := deeds[d.What]
	if !traced {
		return do(ctx, a)
	}
	ctx, end := h.tracing(watch.WithJob(ctx, a.Who.Job), d.Tool)
	defer end()
	ctx, a.operation = trace.Begin(ctx, kind.trace, d.Source, slog.String("job", a.Who.Job))
	work := func() error { return do(ctx, a) }
	var err error
	if kind.hooks == "" || h.Config.Path == "" {
		err = work()
	} else {
		err = h.hooked(ctx, d.Source, kind.hooks, write, work)
	}
	a.operation.Set(slog.String("repository", a.Repository), slog.Int64("bytes", a.Bytes))
	a.operation.End(err)
	return err
}

// recordAlone writes one entry into the log of this host.
func (h *Host) recordAlone(ctx context.Context, e audit.Entry) error {
	log, err := h.auditLog(ctx, "", "backstay backup")
	if err != nil {
		return err
	}
	_, err = log.Append(ctx, e)
	return errors.Join(err, log.Close())
}

// Bare reports whether this is a machine without backstay.yaml, which has no audit log.
func (r *Reached) Bare() bool { return r.host == nil }

// Record is Host.Record; on a bare machine nothing is written down, and traced where the environment names a collector.
func (r *Reached) Record(ctx context.Context, d Deed, do func(context.Context, *Account) error) error {
	d.Source = r.Source
	if r.Bare() {
		h := &Host{Config: &config.Config{}, Log: slog.New(slog.DiscardHandler), Now: time.Now}
		return h.carryOut(ctx, d, newAccount(h, d), nil, do)
	}
	return r.host.Record(ctx, d, do)
}
