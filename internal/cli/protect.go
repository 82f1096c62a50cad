package cli

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/audit"
)

type protectOptions struct {
	place
	change
	name       string
	stores     []string
	recipients []string
	wal        bool
}

func (o *protectOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.change.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "`NAME` of the source (default: after the file)")
	f.StringArrayVar(&o.stores, "store", nil, "`URL` of a store; may be given more than once (default ./repo, or the repositories of the file)")
	f.StringArrayVar(&o.recipients, "recipient", nil, "age recipient `KEY` that can read; may be given more than once; no key is made here then")
	f.BoolVar(&o.wal, "wal", false, "switch the SQLite database to WAL mode first, for good")
}

func (o *protectOptions) run(ctx context.Context, c *console, args []string) error {
	p, err := app.PlanProtect(ctx, app.ProtectOptions{
		Config: o.config, URL: args[0], Name: o.name, Stores: o.stores, Recipients: o.recipients, WAL: o.wal,
	}, c.quiet())
	if err != nil {
		return err
	}
	c.protection(p, o)
	if o.dryRun {
		c.printf("nothing was made or changed\n")
		return nil
	}
	host, err := p.Apply(ctx, c.log)
	if err != nil {
		return err
	}
	deed := app.Deed{What: audit.Protect, Source: p.Source, Command: "backstay protect", Tool: version(), Objects: p.Repositories}
	if err := host.Record(ctx, deed, func(context.Context, *app.Account) error { return nil }); err != nil {
		return err
	}
	if p.MakesKey != "" {
		c.keyAdvice(p.MakesKey)
	}
	return c.follow(ctx, host, app.RunOptions{})
}

// protection says what is going to be set up.
func (c *console) protection(p *app.Protection, o *protectOptions) {
	c.printf("source      %s: %s, %s, %s\n", p.Source, p.URL, p.Identity.Version, size(p.Identity.Bytes))
	c.printf("captured    by %s\n", p.Identity.Mode)
	for i, name := range p.Repositories {
		c.printf("repository  %s: %s\n", name, p.Stores[i])
	}
	switch {
	case p.MakesKey != "":
		c.printf("key         %s (new)\n", filepath.Base(p.MakesKey))
	case len(p.Adds.Recipients) > 0:
		c.printf("key         none is made; readable by the recipients that were given\n")
	}
	c.printf("file        %s\n", o.config)
	for _, a := range p.Identity.Advice {
		if !(o.wal && strings.Contains(a.Do, "--wal")) {
			c.printf("%s\n", adviceLine(api.Advice(a)))
		}
	}
}

func (c *console) keyAdvice(path string) {
	c.printf("\n%s lies here now. Move it off this host, and keep two copies: without it nothing can be restored,\n"+
		"and whoever has it can read everything. Backing up does not need it; restore, drill and check --deep do.\n\n", filepath.Base(path))
}
