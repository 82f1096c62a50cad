package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
)

type unprotectOptions struct {
	place
	change
	force bool
}

func (o *unprotectOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.change.flags(cmd)
	cmd.Flags().BoolVar(&o.force, "discard-spool", false, "end it also if log waits here that no repository has; that log is lost")
}

func (o *unprotectOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	name, err := pick(cfg, args)
	if err != nil {
		return err
	}
	steps, err := app.NewHost(cfg, c.log).Unprotect(ctx, name, app.UnprotectOptions{DryRun: o.dryRun, DiscardSpool: o.force})
	for _, s := range steps {
		if o.dryRun {
			c.printf("would %s\n", s)
		} else {
			c.printf("%s\n", s)
		}
	}
	return err
}
