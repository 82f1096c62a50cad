package replication

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/jackc/pgx/v5/pgconn"
)

// Conn is a connection in replication mode. It is not safe for concurrent use, except where a method says so.
type Conn struct {
	pg *pgconn.PgConn
}

// Open connects in physical replication mode with what config says otherwise. It leaves config as it is.
func Open(ctx context.Context, config *pgconn.Config) (*Conn, error) {
	c := config.Copy()
	c.RuntimeParams["replication"] = "true"
	pg, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Conn{pg: pg}, nil
}

// Close ends the connection.
func (c *Conn) Close(ctx context.Context) error { return c.pg.Close(ctx) }

// Version is the server's major version, 0 if the server does not say.
func (c *Conn) Version() int { return MajorVersion(c.pg.ParameterStatus("server_version")) }

// ServerVersion is what the server says of itself: "15.14 (Debian 15.14-0+deb12u1)".
func (c *Conn) ServerVersion() string { return c.pg.ParameterStatus("server_version") }

// PID is the process at the server that serves the connection.
func (c *Conn) PID() uint32 { return c.pg.PID() }

// MajorVersion reads the first number of a version: 15 of "15.14 (Debian …)", 18 of "18beta1"; 0 if there is none.
func MajorVersion(s string) int {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	n, err := strconv.Atoi(s[:end])
	if err != nil {
		return 0
	}
	return n
}

// System is what IDENTIFY_SYSTEM says.
type System struct {
	ID       string // of the cluster; the same for all servers that come from one initdb
	Timeline uint32
	Flushed  wal.LSN // on a standby: what it has received and replayed
}

// Identify asks the server who it is.
func (c *Conn) Identify(ctx context.Context) (System, error) {
	row, err := c.row(ctx, "IDENTIFY_SYSTEM", 3)
	if err != nil {
		return System{}, err
	}
	timeline, err := strconv.ParseUint(row[1], 10, 32)
	if err != nil {
		return System{}, fmt.Errorf("identify system: timeline %q is not a number", row[1])
	}
	at, err := wal.ParseLSN(row[2])
	if err != nil {
		return System{}, fmt.Errorf("identify system: %w", err)
	}
	return System{ID: row[0], Timeline: uint32(timeline), Flushed: at}, nil
}

// Show gives the value of a setting, as SHOW prints it.
func (c *Conn) Show(ctx context.Context, name string) (string, error) {
	row, err := c.row(ctx, "SHOW "+name, 1)
	if err != nil {
		return "", err
	}
	return row[0], nil
}

// TimelineHistory gives the history file of a timeline, byte for byte.
func (c *Conn) TimelineHistory(ctx context.Context, timeline uint32) ([]byte, error) {
	row, err := c.row(ctx, fmt.Sprintf("TIMELINE_HISTORY %d", timeline), 2)
	if err != nil {
		return nil, err
	}
	return []byte(row[1]), nil
}

// CreateSlot makes a permanent physical slot that holds the log back from now on.
func (c *Conn) CreateSlot(ctx context.Context, name string) error {
	return c.slotCommand(ctx, "CREATE_REPLICATION_SLOT %s PHYSICAL RESERVE_WAL", name)
}

// DropSlot drops a slot that nobody uses.
func (c *Conn) DropSlot(ctx context.Context, name string) error {
	return c.slotCommand(ctx, "DROP_REPLICATION_SLOT %s", name)
}

func (c *Conn) slotCommand(ctx context.Context, format, name string) error {
	quoted, err := slotName(name)
	if err != nil {
		return err
	}
	_, err = c.pg.Exec(ctx, fmt.Sprintf(format, quoted)).ReadAll()
	return err
}

// ErrNoSlot says that the server has no slot of that name.
var ErrNoSlot = errors.New("read replication slot: there is none of this name")

// ReadSlot tells from where on a physical slot holds the log back: 0 if it does not, because it was never used or
// has been invalidated. Servers know the command from 15 on.
func (c *Conn) ReadSlot(ctx context.Context, name string) (restart wal.LSN, err error) {
	quoted, err := slotName(name)
	if err != nil {
		return 0, err
	}
	row, err := c.row(ctx, "READ_REPLICATION_SLOT "+quoted, 3)
	switch {
	case err != nil:
		return 0, err
	case row[0] == "":
		return 0, ErrNoSlot
	case row[1] == "":
		return 0, nil
	}
	return wal.ParseLSN(row[1])
}

// ValidSlotName reports whether a server takes it as the name of a slot.
func ValidSlotName(name string) bool {
	ok := strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
	return ok && name != "" && len(name) < 64
}

func slotName(name string) (quoted string, err error) {
	if !ValidSlotName(name) {
		return "", fmt.Errorf("name replication slot %q: want up to 63 of a-z, 0-9 and _", name)
	}
	return `"` + name + `"`, nil
}

// row runs a command that answers with one row of at least n columns.
func (c *Conn) row(ctx context.Context, command string, n int) ([]string, error) {
	results, err := c.pg.Exec(ctx, command).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) == 0 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) < n {
		return nil, fmt.Errorf("%s: the server's answer has another form", strings.ToLower(command))
	}
	var row []string
	for _, b := range results[0].Rows[0] {
		row = append(row, string(b))
	}
	return row, nil
}
