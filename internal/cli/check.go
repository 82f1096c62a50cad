package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
)

type checkOptions struct {
	reach
	listing
	deep bool
}

func (o *checkOptions) flags(cmd *cobra.Command) {
	o.reach.flags(cmd)
	o.keyFlag(cmd)
	o.listing.flags(cmd)
	cmd.Flags().BoolVar(&o.deep, "deep", false, "decrypt and compare every block too; needs a key")
}

func (o *checkOptions) run(ctx context.Context, c *console, args []string) error {
	reached, err := o.open(ctx, c, args, func(r *app.Reach) { r.Damaged = true })
	if err != nil {
		return err
	}
	defer reached.Close() // it was only read
	reports, damaged := []api.Check{}, 0
	for _, r := range reached.Repositories {
		report, err := c.check(ctx, r, o.deep)
		if err != nil {
			return err
		}
		reports = append(reports, report)
		damaged += len(report.Damage)
		if !o.json {
			c.checkReport(report)
		}
	}
	if o.json {
		if err := c.json(reports); err != nil {
			return err
		}
	}
	switch {
	case damaged > 0:
		return &codedError{
			err: fmt.Errorf("%s found in %s", count(damaged, "damage"), reached.Source), code: exitDamage,
			hint: "the lines above say what each costs; an equal object in another repository of this source can be copied over a damaged one",
		}
	case len(reached.Failures) > 0:
		return reached.Failures[0].Err
	}
	return nil
}

func (c *console) check(ctx context.Context, r app.OpenRepository, deep bool) (api.Check, error) {
	bar := c.progress("check " + r.Name)
	defer bar.end()
	began := time.Now()
	report, err := r.Check(ctx, deep, bar.update)
	report.Seconds = time.Since(began).Seconds()
	return report, err
}

func (c *console) checkReport(r api.Check) {
	for _, d := range r.Damage {
		c.printf("%s %s: %s%s\n", c.paint("31", "damaged"), d.Object, d.Detail, compared(d))
		if d.Affects != "" {
			c.printf("        %s\n", d.Affects)
		}
	}
	depth := "read"
	if r.Deep {
		depth = "read and decrypted"
	}
	c.printf("%s: %s %s, %s, checkpoint %d, in %s: %s\n", r.Repository, count(r.Objects, "object"), depth, size(r.Bytes), r.Checkpoint, span(seconds(r.Seconds)), found(len(r.Damage)))
}

func compared(d api.Damage) string {
	if d.Want == "" && d.Got == "" {
		return ""
	}
	return fmt.Sprintf(" (want %s, got %s)", orDash(d.Want), orDash(d.Got))
}

func found(damage int) string {
	if damage == 0 {
		return "all is as it was written"
	}
	return count(damage, "damage")
}
