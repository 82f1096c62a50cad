package failover

import (
	"context"
	"database/sql/driver"
	"errors"
)

// lostError says that a session ended while a statement was under way, which may have happened.
type lostError struct{}

func (lostError) Error() string { return "the connection ended while a statement was under way" }
func (lostError) class() Class  { return Lost }

// ExecContext implements driver.ExecerContext.
func (c *Conn) ExecContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Result, error) {
	before := c.wire.sent.Load()
	result, err := c.session.ExecContext(ctx, query, arguments)
	return result, c.honest(before, err)
}

// QueryContext implements driver.QueryerContext.
func (c *Conn) QueryContext(ctx context.Context, query string, arguments []driver.NamedValue) (driver.Rows, error) {
	before := c.wire.sent.Load()
	rows, err := c.session.QueryContext(ctx, query, arguments)
	return rows, c.honest(before, err)
}

// honest takes back that a statement may be run again though it was sent: database/sql would do so, and it would happen
// twice. pgx v5.12.0 says that of one without arguments whose connection is lost: the first error closes the connection,
// and the second one, which counts, is "conn closed", as for a statement that was never sent.
func (c *Conn) honest(before int64, err error) error {
	if errors.Is(err, driver.ErrBadConn) && c.wire.sent.Load() != before {
		return lostError{}
	}
	return err
}
