package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/config"
)

type configCheckOptions struct {
	place
	listing
}

func (o *configCheckOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	o.listing.flags(cmd)
}

func (o *configCheckOptions) run(ctx context.Context, c *console, _ []string) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	if err := app.NewHost(cfg, c.log).CheckConfig(ctx); err != nil {
		return err
	}
	if err := app.NewHost(cfg, c.log).CheckClusters(ctx); err != nil {
		return err
	}
	if o.json {
		return c.json(cfg)
	}
	if err := c.checkedSources(cfg); err != nil {
		return err
	}
	if err := c.checkedClusters(cfg); err != nil {
		return err
	}
	c.printf("%s is right: %s, %s%s\n", o.config, count(len(cfg.Sources), "source"), count(len(cfg.Notify), "receiver"), clusterCount(cfg))
	return nil
}

func bases(p config.Promise) string {
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(p.Base)) {
		words = append(words, kind+" "+p.Base[kind].String())
	}
	return orDash(strings.Join(words, ", "))
}

func spanOrDash(s config.Span) string {
	if s == 0 {
		return "-"
	}
	return s.String()
}

func (c *console) checkedSources(cfg *config.Config) error {
	if len(cfg.Sources) == 0 && len(cfg.Clusters) > 0 {
		return nil
	}
	rows := [][]string{{"SOURCE", "CLASS", "RPO", "RTO", "WINDOW", "BASES", "DRILL", "CHECK", "REPOSITORIES"}}
	for _, name := range cfg.SourceNames() {
		s := cfg.Sources[name]
		rows = append(rows, []string{name, orDash(s.Class), spanOrDash(s.RPO), spanOrDash(s.RTO), spanOrDash(s.Window), bases(s.Promise), orDash(s.Drill.Every.String()), spanOrDash(s.CheckEvery), list(s.Repositories)})
	}
	return c.columns(rows)
}

func (c *console) checkedClusters(cfg *config.Config) error {
	if len(cfg.Clusters) == 0 {
		return nil
	}
	rows := [][]string{{"CLUSTER", "KIND", "MEMBERS", "FAILOVER", "RW", "RO"}}
	for _, name := range cfg.ClusterNames() {
		cl := cfg.Clusters[name]
		rows = append(rows, []string{name, cl.Kind(), list(cl.Order), string(cl.Failover.Mode), orDash(cl.Listen.RW), orDash(cl.Listen.RO)})
	}
	return c.columns(rows)
}

func clusterCount(cfg *config.Config) string {
	if len(cfg.Clusters) == 0 {
		return ""
	}
	return ", " + count(len(cfg.Clusters), "cluster")
}
