package postgres

import (
	"context"
	"fmt"
	"strconv"

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
	facts, err := s.ask(ctx, conn)
	if err != nil {
		return engine.Identity{}, s.explain(ctx, "identify "+s.where(), err)
	}
	id.Bytes = facts.bytes
	id.Advice = advise(facts)
	return id, nil
}

// serverFacts are what advice is given from.
type serverFacts struct {
	version  int
	settings map[string]string
	standby  bool
	bytes    int64 // size of all databases, 0 if it cannot be asked for
	name     string
	place    place
	strays   []stray
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

// ask collects facts. What needs a connection to a database is left out where there is none.
func (s *Source) ask(ctx context.Context, conn *replication.Conn) (serverFacts, error) {
	f := serverFacts{version: conn.Version(), settings: map[string]string{}, name: s.config.RuntimeParams["application_name"]}
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
	db, err := s.sql(ctx)
	if err != nil {
		s.options.Log.DebugContext(ctx, "no connection to a database: its size is not known", "source", s.options.Name, "err", err)
		return f, ctx.Err()
	}
	defer closeSoon(db.Close)
	f.place = s.place(ctx, db)
	row, err := queryRow(ctx, db, "SELECT pg_catalog.pg_is_in_recovery(), (SELECT sum(pg_catalog.pg_database_size(oid)) FROM pg_catalog.pg_database "+
		"WHERE pg_catalog.has_database_privilege(oid, 'CONNECT'))")
	if err != nil {
		return f, err
	}
	f.standby = row[0] == "t"
	f.bytes, _ = strconv.ParseInt(row[1], 10, 64) // null where the role may not ask for any
	rows, err := queryRows(ctx, db, "SELECT slot_name, pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn() "+
		"ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn) FROM pg_catalog.pg_replication_slots WHERE NOT active AND slot_name LIKE 'backstay\\_%' AND slot_name <> $1", s.slot)
	for _, row := range rows {
		held, _ := strconv.ParseInt(row[1], 10, 64)
		f.strays = append(f.strays, stray{name: row[0], held: held})
	}
	return f, err
}
