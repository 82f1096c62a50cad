package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/app"
)

// guardOptions are those of a process that the daemon starts; people never type it.
type guardOptions struct {
	watchdog string
	lease    time.Duration
}

func (o *guardOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.watchdog, "watchdog", "", "the `DEVICE` that restarts the host when nobody writes to it")
	cmd.Flags().DurationVar(&o.lease, "lease", 0, "for how long deadlines are renewed, which decides how slow the device may be")
}

func (o *guardOptions) run(ctx context.Context, c *console, args []string) error {
	return app.Guard(ctx, args[0], args[1], o.watchdog, o.lease, func(text string) { c.log.Warn(text) })
}
