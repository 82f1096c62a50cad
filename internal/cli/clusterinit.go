package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
)

// hosted is embedded by commands that need to know which host of the file this is.
type hosted struct{ host string }

func (o *hosted) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.host, "host", "", "the `NAME` by which backstay.yaml knows this host; the system's own if not given")
}

type clusterInitOptions struct {
	place
	hosted
	listing
	change
}

func (o *clusterInitOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.hosted.flags(cmd)
	o.listing.flags(cmd)
	o.change.flags(cmd)
}

func (o *clusterInitOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	name, err := pickCluster(cfg, args)
	if err != nil {
		return err
	}
	h := app.NewHost(cfg, c.log)
	found, err := h.InspectCluster(ctx, name)
	if err != nil {
		return err
	}
	wrong := notReady(found)
	if wrong == nil && !o.dryRun {
		if found.Done, found.Tokens, err = h.NewPassports(ctx, app.HostName(o.host)); err != nil {
			return err
		}
	}
	if o.json {
		if err := c.json(found); err != nil {
			return err
		}
		return wrong
	}
	if err := c.inspected(found); err != nil {
		return err
	}
	if wrong == nil {
		c.ready(found, o.dryRun)
	}
	return wrong
}

// notReady says why a cluster can't be run yet.
func notReady(f api.ClusterCheck) error {
	var away []string
	hint, here := "", false
	for _, m := range f.Members {
		here = here || m.Primary
		if m.Error != "" && !m.Away {
			away, hint = append(away, m.Name), m.Hint
		}
	}
	switch {
	case len(away) == 0 && !here:
		return &codedError{err: fmt.Errorf("cluster %s: no member answers as primary", f.Cluster), code: exitSource, hint: "start the server that has the data"}
	case len(away) > 0:
		return &codedError{err: fmt.Errorf("cluster %s: %s could not be asked", f.Cluster, strings.Join(away, ", ")), code: exitSource, hint: hint}
	case len(f.Refused) > 0:
		return &codedError{err: fmt.Errorf("cluster %s can't be run as it is: %s", f.Cluster, f.Refused[0].Reason), code: exitConfig, hint: f.Refused[0].Hint}
	case len(f.SQL) > 0:
		return &codedError{err: fmt.Errorf("cluster %s lacks rights or settings", f.Cluster), code: exitSource, hint: "run the SQL above on the primary as a superuser, then backstay cluster init " + f.Cluster + " again"}
	}
	return nil
}

// inspected shows what the members said.
func (c *console) inspected(f api.ClusterCheck) error {
	rows := [][]string{{"MEMBER", "ADDRESS", "ROLE", "VERSION", "SYSTEM ID", "LACKS"}}
	for _, m := range f.Members {
		role, version := "replica", "-"
		switch {
		case m.Away:
			role = "stopped"
		case m.Error != "":
			role = "?"
		case m.Primary:
			role = "primary"
		}
		if m.Major > 0 {
			version = fmt.Sprint(m.Major)
		}
		rows = append(rows, []string{m.Name, orDash(m.Address), role, version, orDash(m.SystemID), lacks(m)})
	}
	if err := c.columns(rows); err != nil {
		return err
	}
	for _, m := range f.Members {
		switch {
		case m.Away:
			c.printf("%s does not run: its agent starts it, or fills it where it has no data\n", m.Name)
		case m.Error != "":
			c.printf("%s: %s\n", m.Name, m.Error)
		}
	}
	for _, r := range f.Refused {
		c.printf("%s\n  %s\n", joinedColon(r.Member, r.Reason), r.Hint)
	}
	if len(f.SQL) > 0 {
		c.printf("\nto be run on the primary by a superuser:\n\n%s\n", strings.Join(f.SQL, "\n"))
		if f.Restart {
			c.printf("\nthen restart every server, the replicas first\n")
		} else if slices.ContainsFunc(f.SQL, func(s string) bool { return strings.HasPrefix(s, "ALTER SYSTEM") }) {
			c.printf("SELECT pg_reload_conf();\n")
		}
	}
	if len(f.Wishes) > 0 {
		c.printf("\nit works without, and better with:\n\n%s\n", strings.Join(f.Wishes, "\n"))
	}
	return nil
}

func lacks(m api.ClusterInspection) string {
	switch {
	case m.Error != "":
		return "?"
	case len(m.Missing) == 0:
		return "nothing"
	}
	return count(len(m.Missing), "right or setting")
}

func joinedColon(a, b string) string {
	if a == "" {
		return b
	}
	return a + ": " + b
}

// ready says what comes next.
func (c *console) ready(f api.ClusterCheck, dry bool) {
	c.printf("\ncluster %s can be run\n", f.Cluster)
	if dry {
		return
	}
	for _, d := range f.Done {
		c.printf("%s\n", d)
	}
	if len(f.Tokens) == 0 {
		c.printf("next: backstay run\n")
		return
	}
	c.printf("next: backstay run here, and on each other host, with the same backstay.yaml, within a day:\n")
	for _, t := range f.Tokens {
		c.printf("  %s: backstay cluster join --host %s %s\n", t.Host, t.Host, t.Token)
	}
}

// clusterTokenOptions give one more token.
type clusterTokenOptions struct {
	place
	hosted
	listing
}

func (o *clusterTokenOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.hosted.flags(cmd)
	o.listing.flags(cmd)
}

func (o *clusterTokenOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	t, err := app.NewHost(cfg, c.log).NewToken(ctx, app.HostName(o.host), args[0])
	if err != nil {
		return err
	}
	if o.json {
		return c.json(t)
	}
	c.printf("on %s, until %s: backstay cluster join --host %s %s\n", t.Host, clock(t.Ends), t.Host, t.Token)
	return nil
}

type clusterJoinOptions struct {
	place
	hosted
}

func (o *clusterJoinOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.hosted.flags(cmd)
}

func (o *clusterJoinOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	host := app.HostName(o.host)
	if host == "" {
		return &usageError{err: errors.New("what is this host called?"), hint: "--host NAME, as backstay.yaml knows it"}
	}
	names, err := app.NewHost(cfg, c.log).Join(ctx, host, args[0])
	if err != nil {
		return err
	}
	c.printf("this host is %s now; next: backstay run --host %s\n", names.Host, names.Host)
	return nil
}
