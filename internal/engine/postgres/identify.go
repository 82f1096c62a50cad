package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
)

// Identify is engine.Source's.
func (s *Source) Identify(ctx context.Context) (engine.Identity, error) {
	conn, err := s.replication(ctx)
	if err != nil {
		return engine.Identity{}, err
	}
	defer closeSoon(conn.Close)
	sys, err := conn.Identify(ctx)
	if err != nil {
		return engine.Identity{}, s.explain(ctx, "identify "+s.where(), err)
	}
	id := engine.Identity{SystemID: sys.ID, Version: "PostgreSQL " + conn.ServerVersion(), Mode: "stream", Position: position(sys.Timeline, sys.Flushed)}
	facts, err := s.ask(ctx, conn, true)
	if err != nil {
		return engine.Identity{}, s.explain(ctx, "identify "+s.where(), err)
	}
	id.Bytes = facts.bytes
	id.Advice = advise(facts)
	return id, nil
}

// Advise is engine.Adviser's.
func (s *Source) Advise(ctx context.Context) ([]engine.Advice, error) {
	conn, err := s.replication(ctx)
	if err != nil {
		return nil, err
	}
	defer closeSoon(conn.Close)
	facts, err := s.ask(ctx, conn, false)
	if err != nil {
		return nil, s.explain(ctx, "ask "+s.where()+" for its settings", err)
	}
	return advise(facts), nil
}

// serverFacts are what advice is given from.
type serverFacts struct {
	version  int
	settings map[string]string
	standby  bool
	bytes    int64 // size of all databases, 0 if it cannot be asked for
	name     string
	role     string
	awaits   int // in how many repositories a commit is before it is confirmed; 0: in the spool
	place    place
	strays   []stray

	streams bool   // the log is being sent to us
	sync    string // what we are in that: async, potential, sync or quorum; "" where the role may not see it
	others  int    // streams that are not ours
}

// stray is a slot that looks like one of ours and is not.
type stray struct {
	name string
	held int64
}

// askedSettings are the settings that matter to us.
var askedSettings = []string{"max_slot_wal_keep_size", "full_page_writes", "fsync", "data_checksums", "synchronous_standby_names", "synchronous_commit", "idle_replication_slot_timeout"}

// settingSince are the versions that know a setting first, where that is not the oldest.
var settingSince = map[string]int{"max_slot_wal_keep_size": 13, "idle_replication_slot_timeout": 18}

// ask collects facts. What needs a connection to a database is left out where there is none. To measure is to have the server look at
// each of its files.
func (s *Source) ask(ctx context.Context, conn *replication.Conn, measure bool) (serverFacts, error) {
	f := serverFacts{version: conn.Version(), settings: map[string]string{}, name: s.standbyName(), role: s.config.User, awaits: s.options.Awaits}
	for _, name := range askedSettings {
		if f.version < settingSince[name] {
			continue
		}
		v, err := conn.Show(ctx, name)
		if err != nil {
			return f, fmt.Errorf("ask for %s: %w", name, err)
		}
		f.settings[name] = v
	}
	if !measure && s.noSQL() {
		return f, nil
	}
	db, err := s.sql(ctx)
	s.noteSQL(err)
	if err != nil {
		s.options.Log.DebugContext(ctx, "no connection to a database: its size is not known", "source", s.options.Name, "err", err)
		return f, ctx.Err()
	}
	defer closeSoon(db.Close)
	f.place = s.place(ctx, db)
	row, err := queryRow(ctx, db, "SELECT pg_catalog.pg_is_in_recovery()")
	if err != nil {
		return f, err
	}
	f.standby = row[0] == "t"
	if measure {
		row, err := queryRow(ctx, db, "SELECT sum(pg_catalog.pg_database_size(oid)) FROM pg_catalog.pg_database WHERE pg_catalog.has_database_privilege(oid, 'CONNECT')")
		if err != nil {
			return f, err
		}
		f.bytes, _ = strconv.ParseInt(row[0], 10, 64) // null where the role may not ask for any
	}
	if err := f.stream(ctx, db, s.slot, conn.PID()); err != nil {
		return f, err
	}
	rows, err := queryRows(ctx, db, "SELECT slot_name, pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn() "+
		"ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn) FROM pg_catalog.pg_replication_slots WHERE NOT active AND slot_name LIKE 'backstay\\_%' AND slot_name <> $1", s.slot)
	for _, row := range rows {
		held, _ := strconv.ParseInt(row[1], 10, 64)
		f.strays = append(f.strays, stray{name: row[0], held: held})
	}
	return f, err
}

// stream asks what the server says of our stream, and how many others there are; own is a process that sends no log, but could. All roles may see which processes send log; what each
// is to those who commit is for pg_read_all_stats alone.
func (f *serverFacts) stream(ctx context.Context, db *pgconn.PgConn, slot string, own uint32) error {
	rows, err := queryRows(ctx, db, "SELECT r.sync_state, coalesce(r.pid = s.active_pid, false) FROM pg_catalog.pg_stat_replication r "+
		"LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = $1 WHERE r.pid <> $2::int AND coalesce(r.state, 'streaming') IN ('streaming', 'catchup')",
		slot, strconv.FormatUint(uint64(own), 10))
	for _, row := range rows {
		if row[1] == "t" {
			f.streams, f.sync = true, row[0]
		} else {
			f.others++
		}
	}
	return err
}

// noteSQL notes whether the server lets the role into a database: one that does not is not asked again and again, as it logs each refusal.
func (s *Source) noteSQL(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = code(err) != ""
}

func (s *Source) noSQL() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shut
}
