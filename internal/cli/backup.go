package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/audit"
)

type backupOptions struct {
	place
	listing
	change
}

func (o *backupOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
	o.change.flags(cmd)
}

func (o *backupOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	name, err := pick(cfg, args)
	if err != nil {
		return err
	}
	if o.dryRun {
		c.printf("would take a full base of %s (%s) into %s\n", name, cfg.Sources[name].URL, list(cfg.Sources[name].Repositories))
		return nil
	}
	bar := c.progress("base of " + name)
	began := time.Now()
	host := app.NewHost(cfg, c.log)
	var base api.Base
	err = host.Record(ctx, app.Deed{What: audit.Base, Source: name, Command: "backstay backup", Tool: version()}, func(ctx context.Context, a *app.Account) error {
		var err error
		if base, err = host.Backup(ctx, name, exitCode, func(p api.Progress) { bar.update(p.Done, p.Total) }); err != nil {
			return err
		}
		a.Took(base)
		return nil
	})
	bar.end()
	if err != nil {
		return err
	}
	if o.json {
		return c.json(base)
	}
	c.printf("base %s of %s stands at position %s: %s, %s stored, in %s\n", base.ID, name, base.Position.Plain(), size(base.Bytes), size(base.StoredBytes), span(time.Since(began)))
	c.damaged(base)
	return nil
}

// damaged says that a base holds damage of its source.
func (c *console) damaged(b api.Base) {
	if b.DamagedPages > 0 {
		c.printf("warning: base %s holds %d damaged pages, as the source has them; the daemon's log names them\n", b.ID, b.DamagedPages)
	}
}
