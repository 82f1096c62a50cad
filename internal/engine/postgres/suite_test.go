//go:build unix

package postgres

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// soak asks for the long forms.
var soak = os.Getenv("BACKSTAY_SOAK") != ""

// TestSuite runs the engine suite on a server of each version: all of it on the default one, and with BACKSTAY_SOAK on all,
// which takes a minute of each; else what differs between versions: what a server does after a crash or a gap, and on the oldest and the newest how
// bases are begun and ended.
func TestSuite(t *testing.T) {
	takesLong(t)
	all := pgtest.Versions(t)
	for _, version := range all {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			c := withSmallFiles(t, version, nil)
			h := enginetest.Harness{
				Engine: Engine{}, Late: 50 * time.Millisecond, Settle: 2 * time.Second, Each: true, Bytes: true, Server: true,
				Restores: 2, Serial: true, Dir: func(t *testing.T) string { return pgtest.Folder(t) },
				Start: func(t *testing.T) enginetest.App { return startShop(t, c) },
			}
			if version != pgtest.Default && !soak {
				h.Only, h.Restores = []string{"moments", "gap", "crash"}, 1
				if version == all[0] || version == all[len(all)-1] {
					h.Only = append(h.Only, "base while following", "base fails")
				}
			}
			enginetest.Run(t, h)
		})
	}
}

// shop is an application on a server that the tests of the suite share, one after the other. Change n puts row n into a
// table and changes the only row of another.
type shop struct {
	cluster *pgtest.Cluster
	conn    *pgx.Conn
	n       int
}

func startShop(t *testing.T, c *pgtest.Cluster) *shop {
	t.Helper()
	c.Exec(t, `drop table if exists orders, total; select pg_drop_replication_slot(slot_name) from pg_replication_slots;
		create table orders (n int primary key, body text not null); create table total (n int, bytes bigint); insert into total values (0, 0)`)
	s := &shop{cluster: c}
	s.dial(t)
	t.Cleanup(s.hangUp)
	return s
}

func (s *shop) dial(t *testing.T) {
	t.Helper()
	conn, err := s.cluster.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.conn = conn
}

func (s *shop) hangUp() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // the server may have been killed on purpose
}

// URL is of the superuser, who may have files read.
func (s *shop) URL() string { return s.cluster.SocketURL(pgtest.Admin) }

const nextOrder = `begin; insert into orders select %[1]d, repeat(md5('%[1]d'), %[1]d %% 7 + 1);
	update total set n = %[1]d, bytes = bytes + (select length(body) from orders where n = %[1]d);`

func (s *shop) Commit(t *testing.T) enginetest.Entry {
	s.n++
	e := enginetest.Entry{N: s.n, Before: time.Now()}
	if _, err := s.conn.PgConn().Exec(context.Background(), fmt.Sprintf(nextOrder+"commit", s.n)).ReadAll(); err != nil {
		t.Errorf("commit %d: %v", s.n, err)
	}
	e.After = time.Now()
	return e
}

// Crash kills the server in the middle of a change.
func (s *shop) Crash(t *testing.T) {
	t.Helper()
	if _, err := s.conn.PgConn().Exec(t.Context(), fmt.Sprintf(nextOrder, s.n+1)).ReadAll(); err != nil {
		t.Fatal(err)
	}
	s.cluster.Crash(t)
	s.startAgain(t)
}

// startAgain starts the server, beyond the end of t.
func (s *shop) startAgain(t *testing.T) {
	t.Helper()
	s.hangUp()
	if err := s.cluster.TryStart(); err != nil {
		t.Fatal(err)
	}
	s.dial(t)
}

// Break commits and damages the log of that.
func (s *shop) Break(t *testing.T) {
	t.Helper()
	from := s.cluster.LSN(t)
	for range 3 {
		s.Commit(t)
	}
	at := from + (s.cluster.LSN(t)-from)/2
	s.hangUp()
	s.cluster.Stop(t)
	damage(t, s.cluster.Dir+"/pg_wal/"+wal.SegmentName(1, at, 1<<20), int64(at%(1<<20)))
	s.startAgain(t)
	s.Commit(t)
}

// Stands starts a server on restored data.
func (s *shop) Stands(t *testing.T, dir string, _ engine.Reached) int {
	t.Helper()
	c := pgtest.Opened(t, s.cluster.Version, dir, nil)
	c.Start(t)
	defer c.Stop(t)
	return s.Asks(t, c.SocketURL(pgtest.Admin))
}

// Asks compares all rows with what the last change tells.
func (s *shop) Asks(t *testing.T, dsn string) int {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.Database = "postgres"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var n int
	var whole bool
	err = conn.QueryRow(t.Context(), `select t.n, (select count(*) = t.n and coalesce(max(n), 0) = t.n and coalesce(sum(length(body)), 0) = t.bytes
		and coalesce(bool_and(body = repeat(md5(n::text), n % 7 + 1)), true) from orders) from total t`).Scan(&n, &whole)
	if err != nil {
		t.Fatal(err)
	}
	if !whole {
		t.Errorf("the rows do not belong to change %d", n)
	}
	return n
}
