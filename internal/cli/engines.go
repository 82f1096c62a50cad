package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
)

type enginesOptions struct{ listing }

func (o *enginesOptions) flags(cmd *cobra.Command) { o.listing.flags(cmd) }

func (o *enginesOptions) run(_ context.Context, c *console, _ []string) error {
	infos := app.Engines()
	if o.json {
		return c.json(infos)
	}
	rows := [][]string{{"ENGINE", "URL", "CAN", "OWN TARGETS", "ABOUT"}}
	for _, e := range infos {
		rows = append(rows, []string{e.Kind, e.URL, strings.Join(e.Can, ", "), list(e.Targets), e.About})
	}
	return c.columns(rows)
}
