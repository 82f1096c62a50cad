package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/recovery"
)

type restoreOptions struct {
	reach
	listing
	change
	reasoned
	to   string
	into string
	placing
}

func (o *restoreOptions) flags(cmd *cobra.Command) {
	o.reach.flags(cmd)
	o.keyFlag(cmd)
	o.listing.flags(cmd)
	o.change.flags(cmd)
	o.reasoned.flags(cmd)
	cmd.Flags().StringVar(&o.to, "to", "latest", "the `TARGET` to recover to")
	cmd.Flags().StringVar(&o.into, "into", "", "the `DIR` to recover into; it must be empty or not be there")
	_ = cmd.MarkFlagDirname("into") // It fails only for a flag that does not exist.
	o.placing.flags(cmd)
}

func (o *restoreOptions) run(ctx context.Context, c *console, args []string) error {
	if o.into == "" && !o.dryRun {
		return &usageError{err: errors.New("restore needs --into"), hint: "name a new or empty folder, as in --into ./restored; nothing is ever restored over existing data"}
	}
	placement, err := o.placement()
	if err != nil {
		return err
	}
	target, err := parseTarget(o.to, c.now())
	if err != nil {
		return err
	}
	reached, err := o.open(ctx, c, args, func(r *app.Reach) { r.Spool, r.Mirror = true, true })
	if err != nil {
		return err
	}
	defer reached.Close() // it was only read
	plan, err := reached.PlanRestore(ctx, target)
	if err != nil {
		return err
	}
	plan.Placement = placement
	if err := o.possible(plan); err != nil {
		return err
	}
	if !o.json {
		c.printf("%s\n", plan.Plan)
	}
	out := shownPlan(plan)
	if !o.dryRun {
		if out.Done, err = o.carryOut(ctx, c, reached, plan); err != nil {
			return err
		}
		done := shownPlan(plan) // it may have gone another way
		done.Done = out.Done
		out = done
	}
	if o.json {
		return c.json(out)
	}
	if out.Done != nil {
		c.printf("done: recovered %s in %s; the data stands at position %s%s\n", strings.Join(out.Done.Files, ", "), span(seconds(out.Done.RestoreSeconds)), out.Done.Position.Plain(), lastCommit(out.Done.Time))
		c.tellNext(out.Done)
	}
	return nil
}

// carryOut restores, starts a server if one is asked for, and has both written down.
func (o *restoreOptions) carryOut(ctx context.Context, c *console, reached *app.Reached, plan *app.Restore) (*api.Restored, error) {
	if reached.Bare() {
		c.sayf("this restore is not written into an audit log: it goes without a backstay.yaml")
	}
	var done *api.Restored
	into, err := filepath.Abs(o.into)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", o.into, err)
	}
	deed := app.Deed{What: audit.Restore, Why: o.reason, Command: "backstay restore", Tool: version(), Objects: []string{"to " + plan.Plan.Target.String(), "into " + into}}
	err = reached.Record(ctx, deed, func(ctx context.Context, a *app.Account) error {
		var err error
		if done, err = c.restore(ctx, plan, o.into); err != nil {
			return err
		}
		a.Restored(ctx, plan, done)
		done.Server, err = o.launch(ctx, plan, done.Dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

func lastCommit(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ", last commit " + clock(t)
}

// restore carries a plan out under a progress bar.
func (c *console) restore(ctx context.Context, plan *app.Restore, into string) (*api.Restored, error) {
	bars := map[recovery.Step]*progress{}
	defer func() {
		for _, b := range bars {
			b.end()
		}
	}()
	titles := map[recovery.Step]string{recovery.Lay: "lay base", recovery.Replay: "replay log"}
	r, err := plan.Run(ctx, into, func(step recovery.Step, done, total int64) {
		if bars[step] == nil {
			bars[step] = c.progress(titles[step])
		}
		bars[step].update(done, total)
	})
	if err != nil {
		return nil, err
	}
	out := &api.Restored{
		Dir: r.Dir, Files: []string{}, Position: r.Reached.Position, Time: r.Reached.Time, Digest: r.Reached.Digest, Notes: r.Reached.Notes, Next: r.Reached.Next,
		FetchSeconds: r.FetchSeconds, LaySeconds: r.LaySeconds, ReplaySeconds: r.ReplaySeconds, SyncSeconds: r.SyncSeconds, RestoreSeconds: r.RestoreSeconds,
	}
	for _, t := range r.Elsewhere {
		c.sayf("%s %s is not as it must be in repository %s, and was taken from %s: %s", c.paint("33", "warning:"), t.Object, t.Lacks, t.From, t.Reason)
		out.Elsewhere = append(out.Elsewhere, api.Elsewhere(t))
	}
	if len(r.Elsewhere) > 0 {
		c.sayf("%s run \"backstay check %s\" to see what else is affected there", c.paint("36", "hint:"), plan.Plan.Source)
	}
	for _, note := range r.Reached.Notes {
		c.sayf("%s %s", c.paint("33", "warning:"), note)
	}
	for _, f := range r.Reached.Files {
		out.Files = append(out.Files, filepath.Join(into, f))
	}
	return out, nil
}

func shownPlan(p *app.Restore) api.Restore {
	out := api.Restore{
		Source: p.Plan.Source, Repository: p.Repository, Target: p.Plan.Asked, Base: p.Plan.Chain.Base.ID, BasePosition: p.Plan.Chain.Base.Stop,
		Segments: len(p.Plan.Chain.Segments), FetchBytes: p.Plan.FetchBytes, LayBytes: p.Plan.LayBytes, ReplayBytes: p.Plan.ReplayBytes,
		ExpectedSeconds: p.Plan.ExpectedSeconds, Guessed: p.Plan.Guessed, Reason: p.Plan.Reason, Warnings: p.Plan.Warnings,
	}
	if l := p.Plan.Local; l != nil {
		out.Local = &api.Local{Commits: l.Commits, Bytes: l.Bytes, To: l.To, Until: l.Until}
	}
	return out
}

// parseTarget reads a --to.
func parseTarget(text string, now time.Time) (history.Target, error) {
	t, err := history.ParseTarget(text, now)
	if err != nil {
		return t, &usageError{err: err, hint: `see "backstay restore --help" for all targets`}
	}
	return t, nil
}
