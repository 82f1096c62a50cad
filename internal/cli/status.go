package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
)

type statusOptions struct {
	place
	listing
}

func (o *statusOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
}

func (o *statusOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return o.running(ctx, c, err)
	}
	var only []string
	if len(args) > 0 {
		name, err := pick(cfg, args)
		if err != nil {
			return err
		}
		only = []string{name}
	}
	s, err := app.NewHost(cfg, c.log).Status(ctx, only...)
	if err != nil {
		return err
	}
	return o.show(c, s)
}

func (o *statusOptions) show(c *console, s api.Status) error {
	s.Version = version()
	if o.json {
		return c.json(s)
	}
	return c.status(s)
}

// running shows how the daemon does that goes on with the file of before, where the one that lies there cannot be read.
func (o *statusOptions) running(ctx context.Context, c *console, wrong error) error {
	s, err := app.RunningStatus(ctx, o.config)
	if err != nil {
		return wrong
	}
	if s.Refused == "" {
		s.Refused = wrong.Error()
	}
	return o.show(c, s)
}

func (c *console) status(s api.Status) error {
	if s.Running {
		c.printf("daemon: running, pid %d, since %s\n", s.PID, clock(*s.Started))
	} else {
		c.printf("daemon: none is running here; this is what the repositories hold\n")
	}
	if s.Refused != "" {
		c.printf("backstay.yaml as it lies there is not in force, the one of before is: %s\n", strings.ReplaceAll(s.Refused, "\n", " "))
	}
	c.kept(s)
	for _, source := range s.Sources {
		c.printf("\n%s  %s  %s\n", source.Name, source.URL, source.State)
		if err := c.promises(source); err != nil {
			return err
		}
		for _, line := range c.sourceLines(source) {
			c.printf("  %s\n", line)
		}
		rows := [][]string{{"  REPOSITORY", "STATE", "DURABLE UP TO", "POSITION", "LAG", "BASES", "STORED", "STORE"}}
		for _, r := range source.Repositories {
			rows = append(rows, []string{"  " + r.Name, r.State, clock(r.DurableTime), position(r), span(seconds(r.LagSeconds)), fmt.Sprint(r.Bases), size(r.StoredBytes), r.Store})
		}
		if err := c.columns(rows); err != nil {
			return err
		}
		for _, r := range source.Repositories {
			if r.Error != "" {
				c.printf("  %s: %s\n", r.Name, r.Error)
			}
			if r.Hint != "" {
				c.printf("  hint: %s\n", r.Hint)
			}
		}
	}
	return nil
}

// sourceLines are the remarks on one source.
func (c *console) sourceLines(s api.Source) []string {
	var lines []string
	if s.Mode != "" {
		lines = append(lines, "captured by "+s.Mode+", at position "+s.Position.Plain())
	}
	if waits(s) {
		lines = append(lines, fmt.Sprintf("waiting here for repositories: %s of %s", size(s.SpoolBytes), size(s.SpoolLimit)))
	}
	if s.HeldBytes > 0 {
		lines = append(lines, "log that the source keeps for us: "+size(s.HeldBytes))
	}
	if s.HoldsUp > 0.05 {
		lines = append(lines, "the last look held writers up for "+span(seconds(s.HoldsUp)))
	}
	if s.Text != "" && s.Text != "no daemon is running here" {
		lines = append(lines, s.Text)
	}
	if s.Error != "" {
		lines = append(lines, "error: "+strings.ReplaceAll(s.Error, "\n", " "))
	}
	for _, a := range s.Advice {
		lines = append(lines, adviceLine(a))
	}
	if s.Remains != "" {
		lines = append(lines, "stays at the source: "+s.Remains)
	}
	return append(lines, sentinelLines(s.Sentinel)...)
}

// sentinelLines say how the row does that is written into the source.
func sentinelLines(s *api.Sentinel) []string {
	switch {
	case s == nil:
		return nil
	case s.Error != "":
		return []string{adviceLine(api.Advice{Severity: "warning", Text: "no sentinel is written: " + s.Error, Do: s.Hint})}
	case s.Written.IsZero():
		return []string{"the sentinel is about to be written"}
	}
	return []string{"a sentinel is written each second: " + s.Table + ", last at " + clock(s.Written) + "; it stays at the source"}
}

// waits reports whether some repository lacks log that lies in the spool. The spool also keeps what all have as tips,
// until they have it as full segments.
func waits(s api.Source) bool {
	for _, r := range s.Repositories {
		if r.LagBytes > 0 {
			return true
		}
	}
	return false
}

func adviceLine(a api.Advice) string {
	if a.Do == "" {
		return a.Severity + ": " + a.Text
	}
	return a.Severity + ": " + a.Text + "; " + a.Do
}

func position(r api.Repository) string {
	if r.Position.IsZero() {
		return "-"
	}
	return r.Position.Plain()
}
