package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/audit"
)

type auditVerifyOptions struct {
	place
	listing
}

func (o *auditVerifyOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
}

func (o *auditVerifyOptions) run(ctx context.Context, c *console, _ []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	v, away, err := app.NewHost(cfg, c.log).VerifyAudit(ctx)
	if err != nil {
		return begun(err)
	}
	if o.json {
		if err := c.json(v); err != nil {
			return err
		}
	} else {
		c.printf("%s: %d entries read, compared with %s\n", v.Log, v.Entries, plural(v.Copies, "copy", "copies"))
		for _, name := range away {
			c.printf("not compared with the copy in %s: it does not answer\n", name)
		}
		for _, f := range v.Problems {
			c.printf("  %s\n", f)
		}
	}
	switch {
	case len(v.Problems) == 0:
		return nil
	case v.Whole():
		return &codedError{err: fmt.Errorf("the audit log is whole, and a copy of it is damaged: %s", plural(len(v.Problems), "problem", "problems")), code: exitDamage, hint: "a daemon mends copies when it starts and once a day; keep the damaged one first if somebody wants to know what happened to it"}
	}
	return &codedError{err: fmt.Errorf("the audit log is not as it was written: %s", plural(len(v.Problems), "problem", "problems")), code: exitDamage, hint: "keep the folder as it is for whoever investigates; a copy that is whole lies in the repositories"}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// begun explains that there is no log yet.
func begun(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &notFoundError{err: errors.New("there is no audit log on this host yet"), hint: "the daemon begins it: backstay run"}
	}
	return err
}

type auditExportOptions struct {
	place
	format string
	since  string
	source string
}

func (o *auditExportOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	cmd.Flags().StringVar(&o.format, "format", string(audit.JSONLines), "jsonl or csv")
	cmd.Flags().StringVar(&o.since, "since", "", "a `DAY` as in 2026-11-01: nothing before it")
	cmd.Flags().StringVar(&o.source, "source", "", "only entries about this `SOURCE`")
}

func (o *auditExportOptions) run(ctx context.Context, c *console, _ []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	format := audit.Format(o.format)
	if format != audit.JSONLines && format != audit.CSV {
		return &usageError{err: fmt.Errorf("format %q", o.format), hint: "jsonl or csv"}
	}
	f := audit.Filter{Source: o.source}
	if o.since != "" {
		if f.Since, err = time.ParseInLocation(time.DateOnly, o.since, time.Local); err != nil {
			return &usageError{err: fmt.Errorf("day %q", o.since), hint: "as in 2026-11-01"}
		}
	}
	return begun(app.NewHost(cfg, c.log).ExportAudit(ctx, c.out, format, f))
}
