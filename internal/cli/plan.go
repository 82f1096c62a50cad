package cli

import (
	"context"
	"errors"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
)

type planOptions struct {
	place
	listing
}

func (o *planOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
}

func (o *planOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	jobs, err := app.NewHost(cfg, c.log).Plan(ctx, args...)
	if err != nil {
		return err
	}
	if o.json {
		return c.json(jobs)
	}
	if len(jobs) == 0 {
		c.printf("nothing is planned: no source says when bases, drills or checks are due; docs/guide/promises.md shows how\n")
		return nil
	}
	rows := [][]string{{"SOURCE", "JOB", "NEXT", "LAST", "WHY"}}
	for _, j := range jobs {
		rows = append(rows, []string{j.Source, j.Kind, next(j), last(j), j.Reason})
	}
	return c.columns(rows)
}

// next is when a job comes.
func next(j api.Job) string {
	switch j.State {
	case "running", "stop":
		return "running"
	case "start":
		return "now"
	case "hold":
		return "waits"
	}
	return clock(j.Next)
}

// last is how a job ended last.
func last(j api.Job) string {
	if j.Last.IsZero() {
		return "never"
	}
	return j.LastOutcome + " " + clock(j.Last)
}

// jobOptions are those of commands that name a source and perhaps one of its jobs.
type jobOptions struct {
	place
	change
}

func (o *jobOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.change.flags(cmd)
}

// open finds the host, the source and the kind of job.
func (o *jobOptions) open(c *console, args []string) (*app.Host, string, string, error) {
	cfg, err := o.load()
	if err != nil {
		return nil, "", "", err
	}
	name, err := pick(cfg, args[:min(1, len(args))])
	if err != nil {
		return nil, "", "", err
	}
	kind := ""
	if len(args) > 1 {
		kind = args[1]
	}
	return app.NewHost(cfg, c.log), name, kind, nil
}

// whole is a source or one of its jobs in words.
func whole(source, kind string) string {
	if kind == "" {
		return "all jobs of " + source
	}
	return kind + " of " + source
}

// person is who runs this command.
func person() string {
	u, err := user.Current()
	if err != nil {
		return "somebody"
	}
	return u.Username
}

type pauseOptions struct {
	jobOptions
	reasoned
	until time.Duration
}

func (o *pauseOptions) flags(cmd *cobra.Command) {
	o.jobOptions.flags(cmd)
	cmd.Flags().DurationVar(&o.until, "for", 0, "for how long, as in 2h (default: until it is resumed)")
	o.reasoned.flags(cmd)
}

func (o *pauseOptions) run(ctx context.Context, c *console, args []string) error {
	host, source, kind, err := o.open(c, args)
	if err != nil {
		return err
	}
	if o.until < 0 {
		return &usageError{err: errors.New("--for is negative"), hint: "as in --for 2h"}
	}
	if o.dryRun {
		c.printf("would pause %s; its log is captured all the same\n", whole(source, kind))
		return nil
	}
	p := api.Pause{Kind: kind, By: person(), Reason: o.reason}
	if o.until > 0 {
		p.Until = c.now().Add(o.until)
	}
	if err := host.Pause(ctx, source, p); err != nil {
		return err
	}
	c.printf("paused: %s; its log is captured all the same\n", whole(source, kind))
	return nil
}

type resumeOptions struct{ jobOptions }

func (o *resumeOptions) run(ctx context.Context, c *console, args []string) error {
	host, source, kind, err := o.open(c, args)
	if err != nil {
		return err
	}
	if o.dryRun {
		c.printf("would resume %s\n", whole(source, kind))
		return nil
	}
	if err := host.Resume(ctx, source, api.Pause{Kind: kind, By: person()}); err != nil {
		return err
	}
	c.printf("resumed: %s\n", whole(source, kind))
	return nil
}

type runNowOptions struct{ jobOptions }

func (o *runNowOptions) run(ctx context.Context, c *console, args []string) error {
	host, source, kind, err := o.open(c, args)
	if err != nil {
		return err
	}
	if o.dryRun {
		c.printf("would have %s begin now\n", whole(source, kind))
		return nil
	}
	text, err := host.RunNow(ctx, source, api.Pause{Kind: kind, By: person()})
	if err != nil {
		return err
	}
	c.printf("%s\n", strings.TrimSpace(text))
	return nil
}
