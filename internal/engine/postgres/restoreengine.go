package postgres

import (
	"context"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

var (
	_ engine.Placer      = Engine{}
	_ engine.Settler     = Engine{}
	_ engine.Preflighter = Engine{}
	_ engine.Resolver    = Engine{}
	_ engine.Launcher    = Engine{}
	_ engine.Starter     = Engine{}
)

// Replay recovers the base laid in dir with a private server of its version, and leaves a primary that has ended
// cleanly. See restorer.Replay for how.
func (Engine) Replay(ctx context.Context, dir string, log engine.Log, to engine.Goal) (engine.Reached, error) {
	return restorer{}.Replay(ctx, dir, log, to)
}

// Needs names what tells a base's version and what its server demands.
func (Engine) Needs() []string { return restorer{}.Needs() }

// Preflight sees that a server of the base's version is here, and that its user can come to the data.
func (Engine) Preflight(ctx context.Context, dir string) error { return restorer{}.Preflight(ctx, dir) }

// Place returns a restorer that leaves a standby, or puts tablespaces elsewhere.
func (Engine) Place(p engine.Placement) (engine.Restorer, error) { return restorer{}.Place(p) }

// Settle makes the links of tablespaces lead into the final folder, and gives the folder to the server's user.
func (Engine) Settle(ctx context.Context, dir string) error { return restorer{}.Settle(ctx, dir) }

// Resolve turns lsn:0/16B3748 into a position: all log before that place.
func (Engine) Resolve(t history.Target) (history.Target, bool, error) { return resolve(t) }

// Targets lists what can be asked for besides what every engine knows. All but lsn are looked for in the log.
func (Engine) Targets() []string { return []string{"lsn", "xid", "before-xid", "name"} }
