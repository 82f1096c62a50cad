package cli

import (
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/api"
)

// kept answers the first question of status: are the promises kept?
func (c *console) kept(s api.Status) {
	if s.Kept == nil {
		return
	}
	if *s.Kept {
		c.printf("promises: %s\n", c.paint("32", "all are kept"))
		return
	}
	c.printf("promises: %s\n", c.paint("31", "not all are kept"))
	for _, source := range s.Sources {
		for _, p := range source.Promises {
			if p.Kept || p.Exception != "" {
				continue
			}
			c.printf("  %s: %s\n", source.Name, p.Reason)
			if p.Do != "" {
				c.printf("    %s\n", p.Do)
			}
		}
	}
}

// promises shows what was promised for a source, and how that stands.
func (c *console) promises(s api.Source) error {
	if len(s.Promises) == 0 {
		return nil
	}
	rows := [][]string{{"  PROMISE", "BOUND", "MEASURED", "STANDS", "SINCE"}}
	for _, p := range s.Promises {
		bound, measured := "-", "-"
		if p.Bound > 0 {
			bound, measured = rounded(p.Bound), rounded(p.Measured)
		}
		rows = append(rows, []string{"  " + p.Objective, bound, measured, stands(p), clock(p.Since)})
	}
	return c.columns(rows)
}

// stands says how a promise stands in a word or two.
func stands(p api.Promise) string {
	switch {
	case p.Kept:
		return "kept"
	case p.Exception != "":
		return "excepted: " + p.Exception
	}
	return p.Severity
}

// rounded is a time in seconds as people read it.
func rounded(s float64) string {
	d := seconds(s)
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= time.Minute:
		return d.Round(time.Second).String()
	}
	return span(d)
}
