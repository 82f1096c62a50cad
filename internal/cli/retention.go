package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/retention"
)

type retentionOptions struct {
	place
	listing
	change
	reasoned
}

func (o *retentionOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
	o.change.flags(cmd)
	o.reasoned.flags(cmd)
}

func (o *retentionOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	name, err := pick(cfg, args)
	if err != nil {
		return err
	}
	host := app.NewHost(cfg, c.log)
	var decisions []app.Retained
	if o.dryRun {
		decisions, err = host.Retention(ctx, name, false)
	} else {
		err = host.Record(ctx, app.Deed{What: audit.Drop, Source: name, Why: o.reason, Command: "backstay retention", Tool: version(), Needed: true}, func(ctx context.Context, a *app.Account) error {
			var err error
			decisions, err = host.Retention(ctx, name, true)
			for _, d := range decisions {
				for _, object := range d.Names() {
					a.Objects = append(a.Objects, d.Repository+": "+object)
				}
				a.Bytes += d.Bytes()
			}
			return err
		})
	}
	if o.json {
		if printed := c.json(decisions); err == nil {
			err = printed
		}
		return err
	}
	for _, d := range decisions {
		if shown := c.retained(d, o.dryRun); err == nil {
			err = shown
		}
	}
	return err
}

// retained shows one decision: what goes, and which rule keeps the rest.
func (c *console) retained(d app.Retained, dry bool) error {
	verb := "dropped"
	if dry {
		verb = "would drop"
	}
	c.printf("%s in %s: %s\n", d.Source, d.Repository, d.Summary)
	if d.Move != nil && len(d.Move.Drop) > 0 {
		c.printf("  %s, by the daemon\n", d.Move.Summary)
	}
	rows := [][]string{{"  ", "OBJECT", "TIME", "SIZE", "WHY"}}
	for _, item := range d.Drop {
		rows = append(rows, retainedRow("  "+verb, item))
	}
	if d.Move != nil {
		for _, item := range d.Move.Drop {
			rows = append(rows, retainedRow("  move", item))
		}
	}
	for _, item := range d.Keep {
		rows = append(rows, retainedRow("  keep", item))
	}
	if err := c.columns(rows); err != nil {
		return err
	}
	for _, l := range d.Log {
		c.printf("  keep       log from %s to %s: %s, %s\n", clock(l.Since), clock(l.Until), count(l.Segments, "segment"), size(l.Bytes))
	}
	return nil
}

func retainedRow(verb string, item retention.Item) []string {
	return []string{verb, item.Name, clock(item.Time), size(item.Bytes), strings.Join(item.Why, "; ")}
}
