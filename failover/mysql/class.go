// Package mysql says what errors of MySQL and MariaDB allow. Give Classify to failover.RunTx:
//
//	err := failover.RunTx(ctx, db, &failover.TxOptions{Classify: mysql.Classify}, fn)
//
// The server can't be asked what became of a COMMIT whose answer was lost, so that is a *failover.UnknownOutcomeError.
package mysql

import (
	"errors"

	driver "github.com/go-sql-driver/mysql"

	"github.com/backstaydb/backstay/failover"
)

// numbers are the errors (MySQL's reference, "Server Error Message Reference" and "Client Error Message Reference") that
// are not Permanent.
var numbers = map[uint16]failover.Class{
	1040: failover.Unreachable, // too many connections
	1053: failover.Lost,        // server shutdown in progress
	1077: failover.Lost,        // normal shutdown
	1205: failover.Conflict,    // lock wait timeout: the statement is undone, RunTx undoes the rest
	1213: failover.Conflict,    // deadlock
	1290: failover.ReadOnly,    // --read-only
	1792: failover.ReadOnly,    // a transaction that is read-only, as all are under super_read_only
	1836: failover.ReadOnly,    // read-only mode
	2002: failover.Unreachable, // can't connect through a socket
	2003: failover.Unreachable, // can't connect
	2006: failover.Lost,        // server has gone away: proxies send it
	2013: failover.Lost,        // lost connection during query
}

// Classify is failover.Classify for go-sql-driver/mysql.
func Classify(err error) failover.Class {
	var e *driver.MySQLError
	switch {
	case errors.As(err, &e):
		return numbers[e.Number]
	case errors.Is(err, driver.ErrInvalidConn):
		return failover.Lost
	}
	return failover.Classify(err)
}
