package failover

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// Class is what an error allows.
type Class int

const (
	// Permanent errors come again however often one tries.
	Permanent Class = iota
	// Unreachable: there is no server, it is not ready, or it has no room. Nothing was sent; wait.
	Unreachable
	// Lost: the session is gone, and with it the transaction, unless COMMIT was sent.
	Lost
	// ReadOnly: a standby answered. Nothing was written; go elsewhere.
	ReadOnly
	// Conflict: other transactions were in the way. The whole transaction may run again at once.
	Conflict
	// Unknown: it may have happened. Never run it again without asking.
	Unknown
)

var names = map[Class]string{
	Permanent: "permanent", Unreachable: "unreachable", Lost: "lost", ReadOnly: "read-only", Conflict: "conflict", Unknown: "unknown",
}

// String is the class in a word.
func (c Class) String() string { return names[c] }

// states are the codes of PostgreSQL (its manual, appendix A) that are not Permanent.
var states = map[string]Class{
	"08001": Unreachable, // could not connect
	"08004": Unreachable, // connection rejected
	"57P03": Unreachable, // starting, stopping, or waiting for a primary
	"53300": Unreachable, // too many connections
	"57P05": Lost,        // idle for too long
	"57P01": Lost,        // shut down by an administrator, or by a proxy: nothing happened
	"57P02": Lost,        // another process of the server crashed
	"08000": Lost,
	"08003": Lost,
	"08006": Lost,
	"25006": ReadOnly,
	"40001": Conflict,
	"40P01": Conflict,
	"08007": Unknown, // a proxy lost the server while it ran a COMMIT
	"40003": Unknown,
}

// Classify says what an error of PostgreSQL, or of the way to it, allows. It knows errors by their SQLSTATE, whichever
// driver they are of, and does not know whether COMMIT was sent: RunTx does.
func Classify(err error) Class {
	var state interface{ SQLState() string }
	var known interface{ class() Class }
	var network net.Error
	switch {
	case err == nil:
		return Permanent
	case errors.As(err, &known):
		return known.class()
	case errors.As(err, &state):
		return states[state.SQLState()]
	case errors.Is(err, context.Canceled):
		return Permanent // somebody wanted it
	case connecting(err):
		return Unreachable
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, pgconn.ErrConnClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.As(err, &network),
		strings.Contains(err.Error(), "conn closed"):
		return Lost
	}
	return Permanent
}

// connecting says whether err is of a connection that was never made.
func connecting(err error) bool {
	var dial *net.OpError
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.As(err, &dial) && dial.Op == "dial"
}
