package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
)

type runsOptions struct {
	place
	listing
	last int
}

func (o *runsOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
	cmd.Flags().IntVar(&o.last, "last", 20, "show the newest `N`")
}

func (o *runsOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	source := ""
	if len(args) > 0 {
		if source, err = pick(cfg, args); err != nil {
			return err
		}
	}
	runs, err := app.NewHost(cfg, c.log).Runs(ctx, source, o.last)
	if err != nil {
		return err
	}
	if o.json {
		return c.json(runs)
	}
	rows := [][]string{{"BEGAN", "SOURCE", "JOB", "OUTCOME", "TOOK", "WHAT CAME OF IT"}}
	for _, r := range runs {
		outcome, took := r.Outcome, "-"
		if outcome == "" {
			outcome = "running"
		}
		if !r.Ended.IsZero() {
			took = span(r.Ended.Sub(r.Began))
		}
		rows = append(rows, []string{clock(r.Began), r.Source, r.Kind, outcome, took, r.Detail})
	}
	return c.columns(rows)
}
