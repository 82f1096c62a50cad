package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/config"
)

// errNoCluster says what to write into the file.
var errNoCluster = &codedError{err: errors.New("backstay.yaml names no cluster"), code: exitConfig, hint: "docs/guide/availability.md shows how one is written: clusters: { shop: { members: … } }"}

// pickCluster chooses the cluster that args name, or the only one.
func pickCluster(cfg *config.Config, args []string) (string, error) {
	names := cfg.ClusterNames()
	switch {
	case len(names) == 0:
		return "", errNoCluster
	case len(args) > 0:
		if _, ok := cfg.Clusters[args[0]]; ok {
			return args[0], nil
		}
		return "", &notFoundError{err: fmt.Errorf("no cluster %q in %s", args[0], config.Name), hint: "clusters: " + list(names)}
	case len(names) == 1:
		return names[0], nil
	}
	return "", &usageError{err: errors.New("which cluster?"), hint: "name one of: " + list(names)}
}

type clusterStatusOptions struct {
	place
	listing
}

func (o *clusterStatusOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
}

func (o *clusterStatusOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	all, err := o.ask(ctx, c, cfg, args)
	if err != nil {
		return err
	}
	if o.json {
		return c.json(all)
	}
	return c.clusters(all)
}

func (o *clusterStatusOptions) ask(ctx context.Context, c *console, cfg *config.Config, args []string) ([]api.Cluster, error) {
	if len(cfg.Clusters) == 0 {
		return nil, errNoCluster
	}
	if len(args) > 0 {
		if _, err := pickCluster(cfg, args); err != nil {
			return nil, err
		}
	}
	return app.NewHost(cfg, c.log).Clusters(ctx, args...)
}

// clusterWatchOptions is status again and again.
type clusterWatchOptions struct{ place }

func (o *clusterWatchOptions) run(ctx context.Context, c *console, args []string) error {
	status := clusterStatusOptions{place: o.place}
	cfg, err := o.load()
	if err != nil {
		return err
	}
	for last := ""; ; {
		all, err := status.ask(ctx, c, cfg, args)
		if err != nil {
			return err
		}
		if text := told(all); text != last || c.tty {
			last = text
			if c.tty {
				c.printf("\x1b[H\x1b[2J")
			} else {
				c.printf("%s\n", c.now().Format(time.TimeOnly))
			}
			if err := c.clusters(all); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// told is what of a status is worth a new picture where it is not drawn over the old one.
func told(all []api.Cluster) string {
	text := ""
	for _, cl := range all {
		text += fmt.Sprintln(cl.Name, cl.State, cl.Phase, cl.Primary, cl.Epoch, cl.Reason, cl.Paused, cl.Request, cl.Hindrance)
		for _, m := range cl.Members {
			text += fmt.Sprintln(m.Name, m.Role, m.Timeline, m.Following, m.NoStream, m.Error)
		}
	}
	return text
}

// clusters shows clusters for people.
func (c *console) clusters(all []api.Cluster) error {
	for i, cl := range all {
		if i > 0 {
			c.printf("\n")
		}
		if err := c.cluster(cl); err != nil {
			return err
		}
	}
	return nil
}

func (c *console) cluster(cl api.Cluster) error {
	state := cl.State
	if cl.Phase != "" && cl.Phase != cl.State {
		state += " (" + cl.Phase + ")"
	}
	if !cl.Running {
		state = "no daemon is running here; the members say"
	}
	c.printf("%s  %s, failover %s  %s, epoch %d: %s\n", cl.Name, cl.Kind, cl.Mode, state, cl.Epoch, cl.Reason)
	for _, line := range []struct{ word, text string }{{"paused", pausedText(cl)}, {"asked for", cl.Request}, {"next", cl.Next}, {"a commit needs", cl.Sync}, {"nobody could take over now", cl.Hindrance}, {"log stored", cl.Stored}, {"decided on", cl.Keeper}} {
		if line.text != "" {
			c.printf("  %s: %s\n", line.word, line.text)
		}
	}
	rows := [][]string{{"  MEMBER", "ROLE", "ADDRESS", "TIMELINE", "POSITION", "LAG", "ANSWERED", "NOTE"}}
	for _, m := range cl.Members {
		rows = append(rows, []string{"  " + m.Name, m.Role, orDash(m.Address), numberOrDash(m.Timeline), orDash(m.Position), lagOf(m), ago(c.now(), m.Answered), noteOf(m)})
	}
	if err := c.columns(rows); err != nil {
		return err
	}
	if len(cl.Listeners) == 0 {
		return nil
	}
	rows = [][]string{{"  LISTENER", "ADDRESS", "OPEN", "WAITING", "MOVED", "CLOSED", "FAILED", "NOTE"}}
	for _, l := range cl.Listeners {
		rows = append(rows, []string{"  " + l.Role, l.Address, fmt.Sprint(l.Open), fmt.Sprint(l.Held), fmt.Sprint(l.Moved), fmt.Sprint(l.Unmoved + l.Severed + l.Unknown), fmt.Sprint(l.Failed + l.Refused + l.Expired), l.Error})
	}
	return c.columns(rows)
}

func pausedText(cl api.Cluster) string {
	if cl.Paused {
		return "no failover by itself until backstay cluster resume " + cl.Name
	}
	return ""
}

func numberOrDash(n uint32) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func lagOf(m api.ClusterMember) string {
	switch {
	case m.Role != "replica":
		return "-"
	case m.NoStream:
		return "not streaming"
	case m.LagSeconds >= 0:
		return span(seconds(m.LagSeconds))
	case m.LagBytes > 0:
		return size(int64(m.LagBytes))
	default:
		return "?"
	}
}

func ago(now, at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return span(max(now.Sub(at), 0)) + " ago"
}

func noteOf(m api.ClusterMember) string {
	note := strings.ReplaceAll(m.Error, "\n", " ")
	if m.NoFailover {
		note = joined(note, "nofailover")
	}
	if m.Following != "" {
		note = joined(note, "follows "+m.Following)
		if m.NoStream {
			note += ", and receives nothing from it: the log of its server says why"
		}
	}
	return note
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
