package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
)

type keyTrustOptions struct {
	place
	change
	reasoned
}

func (o *keyTrustOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.change.flags(cmd)
	o.reasoned.flags(cmd)
}

func (o *keyTrustOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	name, err := pick(cfg, args[:1])
	if err != nil {
		return err
	}
	if o.dryRun {
		c.printf("would let %s sign for %s\n", args[1], name)
		return nil
	}
	host := app.NewHost(cfg, c.log)
	err = host.Record(ctx, keyDeed(name, "let "+args[1]+" sign", o.reason), func(context.Context, *app.Account) error { return host.Trust(name, args[1]) })
	if err != nil {
		return err
	}
	c.printf("%s may sign for %s; a daemon that runs invites it within some seconds\n", args[1], name)
	return nil
}
