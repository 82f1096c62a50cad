package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
)

type runOptions struct {
	place
	change
	hosted
	only []string
}

func (o *runOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.change.flags(cmd)
	o.hosted.flags(cmd)
	cmd.Flags().StringSliceVar(&o.only, "only", nil, "do only these `JOBS`, drill and check, for sources that another host captures; needs a key")
}

func (o *runOptions) run(ctx context.Context, c *console, _ []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	if len(cfg.Sources) == 0 && len(cfg.Clusters) == 0 {
		return &codedError{err: errors.New("backstay.yaml names neither a source nor a cluster"), code: exitConfig, hint: `"backstay protect URL" adds one`}
	}
	if o.dryRun {
		for _, name := range cfg.SourceNames() {
			s := cfg.Sources[name]
			if len(o.only) > 0 {
				c.printf("would only %s %s, from %s\n", strings.Join(o.only, " and "), name, list(s.Repositories))
				continue
			}
			c.printf("would protect %s (%s) into %s\n", name, s.URL, list(s.Repositories))
		}
		for _, name := range cfg.ClusterNames() {
			cl := cfg.Clusters[name]
			c.printf("would lead clients of %s to its primary among %s, at %s\n", name, list(cl.Order), orDash(cl.Listen.RW))
		}
		return nil
	}
	ctx, reload, stop := c.hangups(ctx)
	defer stop()
	return c.follow(ctx, app.NewHost(cfg, c.log), app.RunOptions{Reload: reload, Only: o.only, Host: o.host})
}

// reloads implements reloader.
func (o *runOptions) reloads() {}
