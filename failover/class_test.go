package failover_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/failover"
)

func state(code string) error { return fmt.Errorf("exec: %w", &pgconn.PgError{Code: code}) }

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		err  error
		want failover.Class
	}{
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, failover.Unreachable},
		{&net.DNSError{Name: "db1"}, failover.Lost},
		{state("08001"), failover.Unreachable},
		{state("08004"), failover.Unreachable},
		{state("57P03"), failover.Unreachable},
		{state("53300"), failover.Unreachable},
		{state("57P01"), failover.Lost},
		{state("57P02"), failover.Lost},
		{state("57P05"), failover.Lost},
		{state("08006"), failover.Lost},
		{state("08003"), failover.Lost},
		{io.ErrUnexpectedEOF, failover.Lost},
		{fmt.Errorf("receive message: %w", io.EOF), failover.Lost},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, failover.Lost},
		{driver.ErrBadConn, failover.Lost},
		{state("25006"), failover.ReadOnly},
		{state("40001"), failover.Conflict},
		{state("40P01"), failover.Conflict},
		{state("08007"), failover.Unknown},
		{state("40003"), failover.Unknown},
		{&failover.UnknownOutcomeError{Err: io.EOF}, failover.Unknown},
		{&failover.NoPrimaryError{}, failover.Unreachable},
		{state("28P01"), failover.Permanent},
		{state("42P01"), failover.Permanent},
		{state("23505"), failover.Permanent},
		{state("57014"), failover.Permanent},
		{context.Canceled, failover.Permanent},
		{errors.New("of the application"), failover.Permanent},
		{nil, failover.Permanent},
	} {
		if got := failover.Classify(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
