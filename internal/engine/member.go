package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Member is implemented by engines whose servers can be the members of a cluster: clients are led to one of them. A Member
// need not be a Protector.
type Member interface {
	Engine
	// Member returns who asks the server behind url. It reads url and connects to nothing.
	Member(url string) (Looker, error)
}

// Looker asks one server what it is, on a connection that it keeps. Look and Ask are called from one goroutine at a time.
type Looker interface {
	// Address is where clients reach the server, as host:port.
	Address() string

	// Look asks the server. Where the kept connection fails it tries a fresh one once, so that an error is the server's
	// state and not that of an old connection. It ends with ctx.
	Look(ctx context.Context) (Sight, error)

	// Close lets go of the connection. It may be called while Look runs.
	Close() error
}

// Role is what a server says of itself.
type Role string

// The roles.
const (
	RolePrimary Role = "primary" // takes writes
	RoleReplica Role = "replica" // follows another one
	RoleAny     Role = "any"     // answers, and nothing says whether it takes writes
)

// Sight is what a server says of itself.
type Sight struct {
	Role     Role
	SystemID string           // the same for copies of one server; "" where the engine has none
	Version  string           // for people
	Position history.Position // of a primary the end of its log, of a replica how far it has replayed; zero: not told, or not a number
	Exact    bool             // the timeline in Position is the one that the server is on, and not one that it may have left
	Lag      time.Duration    // of a replica by its own word; negative: it has none
	Broken   string           // of a replica: why it follows nobody; "" if it does or does not say
}

// Secured is implemented by Lookers whose URL asks for encryption. The configuration names no server.
type Secured interface{ TLS() *tls.Config }

// Verifier is implemented by Lookers whose servers keep password verifiers that a proxy may read.
type Verifier interface {
	// Verifier gives a role's verifier as the server keeps it, "" if there is no such role or it has none. It uses a
	// connection of its own and may be called from any goroutine. ErrUnreadable: the server does not let us.
	Verifier(ctx context.Context, role string) (string, error)
}

// ErrUnreadable says that a server lets us read no password verifiers.
var ErrUnreadable = errors.New("the server does not let us read password verifiers")
