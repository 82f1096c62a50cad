package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/config"
)

// orderOptions are what all orders to a cluster take.
type orderOptions struct {
	place
	listing
	change
	reasoned
	to   string
	lose bool
	verb string
}

func (o *orderOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
	o.change.flags(cmd)
	o.reasoned.flags(cmd)
	switch o.verb {
	case "switchover":
		cmd.Flags().StringVar(&o.to, "to", "", "the `MEMBER` that is to be primary")
	case "reinstate":
		cmd.Flags().BoolVar(&o.lose, "lose", false, "go on without members that do not answer, though only they may know what they acknowledged")
	case "failover":
		cmd.Flags().StringVar(&o.to, "to", "", "the `MEMBER` that is to be primary; the one that has most if not given")
		cmd.Flags().BoolVar(&o.lose, "lose", false, "go on though acknowledged writes are lost, or may be; the audit log says who said so")
	}
}

func (o *orderOptions) run(ctx context.Context, c *console, args []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	name, err := o.pick(cfg, args)
	if err != nil {
		return err
	}
	return o.order(ctx, c, app.NewHost(cfg, c.log), name)
}

// pick finds the cluster; rejoin and add-replica name a member of it.
func (o *orderOptions) pick(cfg *config.Config, args []string) (string, error) {
	if o.verb != "rejoin" {
		name, err := pickCluster(cfg, args)
		if err == nil && o.verb == "switchover" && o.to == "" {
			err = &usageError{err: errors.New("which member is to be primary?"), hint: "--to one of: " + list(cfg.Clusters[name].Order)}
		}
		return name, err
	}
	if len(args) == 2 {
		o.to = args[1]
		return pickCluster(cfg, args[:1])
	}
	o.to = args[0]
	var found []string
	for _, name := range cfg.ClusterNames() {
		if slices.Contains(cfg.Clusters[name].Order, o.to) {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", &notFoundError{err: fmt.Errorf("no member %q in %s", o.to, config.Name), hint: "backstay cluster status lists the members"}
	}
	return "", &usageError{err: fmt.Errorf("several clusters have a member %s", o.to), hint: "name the cluster first, one of: " + list(found)}
}

func (o *orderOptions) order(ctx context.Context, c *console, h *app.Host, name string) error {
	out, err := h.Order(ctx, name, api.ClusterOrder{Verb: o.verb, To: o.to, By: person(), Why: o.reason, Lose: o.lose, DryRun: o.dryRun})
	if errors.Is(err, api.ErrNotRunning) {
		return &codedError{err: err, code: exitNotFound, hint: "start it: backstay run; orders are given to the daemon of any host of the cluster"}
	}
	if err != nil {
		return err
	}
	if o.json {
		return c.json(out)
	}
	if o.dryRun {
		c.printf("now: %s\n", out.Text)
		for _, a := range out.Actions {
			c.printf("  %s\n", a)
		}
		if out.Then != "" {
			c.printf("then: %s\n", out.Then)
		}
		return nil
	}
	c.printf("%s\n", out.Text)
	if out.Primary != "" && out.Done {
		c.printf("%s: %s is primary, epoch %d, after %s\n", out.Cluster, out.Primary, out.Epoch, span(seconds(out.Seconds)))
	}
	return nil
}
