package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
)

type historyOptions struct {
	reach
	listing
}

func (o *historyOptions) flags(cmd *cobra.Command) {
	o.reach.flags(cmd)
	o.listing.flags(cmd)
}

func (o *historyOptions) run(ctx context.Context, c *console, args []string) error {
	reached, err := o.open(ctx, c, args, nil)
	if err != nil {
		return err
	}
	defer reached.Close() // it was only read
	all := []api.History{}
	for _, r := range reached.Repositories {
		all = append(all, r.History())
	}
	if o.json {
		return c.json(all)
	}
	for i, h := range all {
		if i > 0 {
			c.printf("\n")
		}
		if err := c.history(h); err != nil {
			return err
		}
	}
	return nil
}

func (c *console) history(h api.History) error {
	c.printf("%s in %s (%s), %s stored, checkpoint %d\n", h.Source, h.Repository, h.Store, size(h.StoredBytes), h.Checkpoint)
	rows := [][]string{{"BASE", "TYPE", "TIME", "POSITION", "SIZE", "STORED"}}
	for _, b := range h.Bases {
		rows = append(rows, []string{b.ID, b.Type, clock(b.Time), b.Position.Plain(), size(b.Bytes), size(b.StoredBytes)})
	}
	if err := c.columns(rows); err != nil {
		return err
	}
	for _, b := range h.Bases {
		c.damaged(b)
	}
	rows = [][]string{{"WINDOW", "SINCE", "UNTIL", "POSITIONS"}}
	for i, w := range h.Windows {
		rows = append(rows, []string{fmt.Sprint(i + 1), clock(w.Since), clock(w.Until), w.Start.Plain() + " to " + w.End.Plain()})
	}
	if err := c.columns(rows); err != nil {
		return err
	}
	for _, g := range h.Gaps {
		c.printf("gap from %s (%s) to %s (%s): %s\n", clock(g.Since), g.From.Plain(), clock(g.Until), g.To.Plain(), orDash(g.Reason))
	}
	return nil
}
