package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/audit"
)

type unprotectOptions struct {
	place
	change
	reasoned
	force bool
	leave bool
}

func (o *unprotectOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.change.flags(cmd)
	o.reasoned.flags(cmd)
	cmd.Flags().BoolVar(&o.force, "discard-spool", false, "end it also if log waits here that no repository has; that log is lost")
	cmd.Flags().BoolVar(&o.leave, "leave-behind", false, "end it also if what was made at the source, a replication slot, cannot be dropped; prints what to run there")
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
	host, work := app.NewHost(cfg, c.log), app.UnprotectOptions{DryRun: o.dryRun, DiscardSpool: o.force, LeaveBehind: o.leave}
	var steps []string
	if o.dryRun {
		steps, err = host.Unprotect(ctx, name, work)
	} else {
		err = host.Record(ctx, app.Deed{What: audit.Protect, Source: name, Why: o.reason, Command: "backstay unprotect", Tool: version()}, func(ctx context.Context, a *app.Account) error {
			var err error
			steps, err = host.Unprotect(ctx, name, work)
			a.Objects = steps
			return err
		})
	}
	for _, s := range steps {
		if o.dryRun {
			c.printf("would %s\n", s)
		} else {
			c.printf("%s\n", s)
		}
	}
	return err
}
