package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/drill"
)

type drillsOptions struct {
	place
	listing
	evidence string
}

func (o *drillsOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
	cmd.Flags().StringVar(&o.evidence, "evidence", "", "write a page for auditors of each into `DIR`, which drill verify verifies offline")
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
	host := app.NewHost(cfg, c.log)
	if o.evidence != "" {
		return c.evidence(ctx, host, name, o)
	}
	reports, err := host.Drills(ctx, name)
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
	rows := [][]string{{"ENDED", "VERDICT", "TARGET", "SECOND", "REPOSITORY", "HOST", "RESTORE", "CHECKS", "REASON"}}
	for _, r := range reports {
		rows = append(rows, []string{clock(r.Ended), string(r.Verdict), r.Target, secondOf(r), r.Repository, r.Host, span(seconds(r.FetchSeconds + r.LaySeconds + r.ReplaySeconds + r.StartSeconds)), count(len(r.Checks), "check"), r.Reason})
	}
	return c.columns(rows)
}

// secondOf is which second a drill recovered; those told by a sentinel have a star.
func secondOf(r drill.Report) string {
	at, word := r.Second()
	if word == "by the sentinel" {
		return clock(at) + "*"
	}
	return clock(at)
}

// evidence writes the pages and says where.
func (c *console) evidence(ctx context.Context, host *app.Host, source string, o *drillsOptions) error {
	paths, err := host.Evidence(ctx, source, o.evidence)
	if err != nil {
		return err
	}
	if o.json {
		return c.json(append([]string{}, paths...))
	}
	for _, path := range paths {
		c.printf("%s\n", path)
	}
	return nil
}
