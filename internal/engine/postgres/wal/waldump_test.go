package wal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// TestEveryRecordIsWhereTheServerSaysItIs reads a server's own log, with records over pages and files, a switch, and a
// crash in it, and compares each record with what pg_waldump prints.
func TestEveryRecordIsWhereTheServerSaysItIs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	c := pgtest.New(t, pgtest.Options{Initdb: []string{"--wal-segsize=1"}, Settings: map[string]string{"max_prepared_transactions": "2", "wal_keep_size": "1000MB"}})
	from := c.LSN(t).SegmentStart(1 << 20)
	c.Exec(t, "create table t as select i, repeat(md5(i::text), i % 300) x from generate_series(1, 3000) i", "checkpoint",
		"update t set x = 'a'", "begin; savepoint a; drop table t; create table u (i int); prepare transaction 'g'", "commit prepared 'g'")
	c.Ask(t, "select pg_create_restore_point('here')::text")
	c.Ask(t, "select pg_logical_emit_message(false, 'x', repeat('0123456789', 400000))::text")
	c.Ask(t, "select pg_switch_wal()::text")
	for range 100 {
		c.Exec(t, "insert into u values (1)")
	}
	c.Crash(t)
	c.Start(t)
	c.Exec(t, "insert into u values (2)")
	c.Stop(t)
	dumped := dump(t, c, from)
	var found []string
	events := map[wal.EventKind]int{}
	s := wal.NewScanner(from, wal.Options{Verify: true,
		Each:  func(r wal.Record) { found = append(found, line(r.Start, r.Prev, r.XID, r.Length)) },
		Event: func(e wal.Event) { events[e.Kind]++ }})
	feed(t, c, s, from)
	if len(dumped) < 3000 || len(dumped) != len(found) {
		t.Fatalf("%d records, pg_waldump has %d", len(found), len(dumped))
	}
	for i := range dumped {
		if dumped[i] != found[i] {
			t.Fatalf("record %d: %s, pg_waldump has %s", i, found[i], dumped[i])
		}
	}
	if events[wal.Commit] < 103 || events[wal.RestorePoint] != 1 || events[wal.SegmentSwitch] != 1 || events[wal.Checkpoint] < 2 {
		t.Errorf("events: %v", events)
	}
}

func line(start, prev wal.LSN, xid, length uint32) string {
	return fmt.Sprintf("lsn %s prev %s tx %d len %d", start, prev, xid, length)
}

// feed gives the scanner the server's files from a position on, until the log ends.
func feed(t *testing.T, c *pgtest.Cluster, s *wal.Scanner, from wal.LSN) {
	t.Helper()
	for at := from; ; at += 1 << 20 {
		b, err := os.ReadFile(filepath.Join(c.Dir, "pg_wal", wal.SegmentName(1, at, 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		if s.Feed(b) != nil {
			return
		}
	}
}

var dumpedLine = regexp.MustCompile(`len \(rec/tot\): +\d+/ *(\d+), tx: +(\d+), lsn: ([0-9A-F/]+), prev ([0-9A-F/]+)`)

func dump(t *testing.T, c *pgtest.Cluster, from wal.LSN) (lines []string) {
	t.Helper()
	if !c.Programs.Has("pg_waldump") {
		t.Skip("pg_waldump is not installed")
	}
	// It ends with an error where the log ends.
	out, _ := c.Programs.Command(pgtest.Owner(t), "pg_waldump", "-p", filepath.Join(c.Dir, "pg_wal"), "-s", from.String()).Output()
	for _, m := range dumpedLine.FindAllStringSubmatch(string(out), -1) {
		var length, xid uint32
		if _, err := fmt.Sscan(m[1]+" "+m[2], &length, &xid); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line(lsn(t, m[3]), lsn(t, m[4]), xid, length))
	}
	return lines
}

func lsn(t *testing.T, s string) wal.LSN {
	t.Helper()
	l, err := wal.ParseLSN(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
