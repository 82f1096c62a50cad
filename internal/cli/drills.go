package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
)

type drillsOptions struct {
	place
	listing
}

func (o *drillsOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
}

func (o *drillsOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	name, err := pick(cfg, args)
	if err != nil {
		return err
	}
	reports, err := app.NewHost(cfg, c.log).Drills(ctx, name)
	if err != nil {
		return err
	}
	if o.json {
		return c.json(reports)
	}
	if len(reports) == 0 {
		c.printf("no drill of %s is known; \"backstay drill %s\" makes the first\n", name, name)
		return nil
	}
	rows := [][]string{{"ENDED", "VERDICT", "TARGET", "REPOSITORY", "HOST", "RESTORE", "CHECKS", "REASON"}}
	for _, r := range reports {
		rows = append(rows, []string{clock(r.Ended), string(r.Verdict), r.Target, r.Repository, r.Host, span(seconds(r.FetchSeconds + r.LaySeconds + r.ReplaySeconds + r.StartSeconds)), count(len(r.Checks), "check"), r.Reason})
	}
	return c.columns(rows)
}
