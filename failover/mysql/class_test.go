package mysql_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"github.com/backstaydb/backstay/failover"
	"github.com/backstaydb/backstay/failover/mysql"
)

func TestClasses(t *testing.T) {
	number := func(n uint16) error { return fmt.Errorf("exec: %w", &driver.MySQLError{Number: n}) }
	for _, c := range []struct {
		err  error
		want failover.Class
	}{
		{number(1213), failover.Conflict},
		{number(1205), failover.Conflict},
		{number(1290), failover.ReadOnly},
		{number(1836), failover.ReadOnly},
		{number(2006), failover.Lost},
		{number(2013), failover.Lost},
		{number(1040), failover.Unreachable},
		{driver.ErrInvalidConn, failover.Lost},
		{io.EOF, failover.Lost},
		{number(1062), failover.Permanent}, // duplicate entry
		{number(1045), failover.Permanent}, // access denied
		{errors.New("of the application"), failover.Permanent},
	} {
		if got := mysql.Classify(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
