package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/engine"
)

// placing are the options of a restore that only engines with a server have.
type placing struct {
	start       bool
	standby     bool
	tablespaces []string
}

func (p *placing) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.start, "start", false, "leave a private server running on what was restored, and say how to reach and to stop it")
	cmd.Flags().BoolVar(&p.standby, "standby", false, "leave a standby that has replayed up to the target, instead of a primary")
	cmd.Flags().StringArrayVar(&p.tablespaces, "tablespace-map", nil, "put the tablespace that was at OLD, or has that number, into the empty folder NEW: `OLD=NEW`; may be repeated")
}

// placement is what the options say.
func (p *placing) placement() (engine.Placement, error) {
	if p.start && p.standby {
		return engine.Placement{}, &usageError{err: errors.New("--start and --standby exclude each other"), hint: "a standby needs to be told its primary before it is started"}
	}
	out := engine.Placement{Standby: p.standby}
	for _, m := range p.tablespaces {
		from, to, ok := strings.Cut(m, "=")
		if !ok || from == "" || to == "" {
			return out, &usageError{err: fmt.Errorf("--tablespace-map %q names no two folders", m), hint: "as in --tablespace-map /srv/fast=/mnt/new/fast"}
		}
		if out.Tablespaces == nil {
			out.Tablespaces = map[string]string{}
		}
		out.Tablespaces[from] = to
	}
	return out, nil
}

// possible fails before anything is restored if the engine cannot do what is asked.
func (p *placing) possible(plan *app.Restore) error {
	if !p.start {
		return nil
	}
	return plan.CanStart()
}

// launch starts the server, if one is wanted.
func (p *placing) launch(ctx context.Context, plan *app.Restore, dir string) (*api.Started, error) {
	if !p.start {
		return nil, nil
	}
	s, err := plan.Start(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("the data was restored to %s, but no server runs on it: %w", dir, err)
	}
	return &api.Started{DSN: s.DSN, Stop: s.Stop, Log: s.Log}, nil
}

// tellNext says what can be done with what was restored.
func (c *console) tellNext(r *api.Restored) {
	switch {
	case r.Server != nil:
		c.printf("a private server runs on it: %s\nstop it with: %s\n", r.Server.DSN, r.Server.Stop)
	case r.Next != "":
		c.printf("%s\n", r.Next)
	}
}
