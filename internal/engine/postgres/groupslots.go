package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// The slot is a physical one on every server, so that whoever is promoted has the log that is in no repository yet. The server does not copy such
// slots to standbys in any version (17's failover slots are logical ones), so we make it there, and move it on as far as a repository has the
// log: not only as far as this host has it, which may be lost together with the primary.

// How often the slots of the standbys are looked at, and how long one look may take.
const (
	slotEvery = 5 * time.Second
	slotLimit = 10 * time.Second
)

// slotWord is what is known of the slot on one standby.
type slotWord struct {
	restart wal.LSN // it keeps all log from here on; 0: it keeps nothing
	err     error
}

// keepSlots keeps the slots of all other servers until ctx ends.
func (s *groupSource) keepSlots(ctx context.Context) {
	if s.group.Safe == nil {
		return
	}
	tick := time.NewTicker(slotEvery)
	defer tick.Stop()
	for {
		s.roundOfSlots(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *groupSource) roundOfSlots(ctx context.Context) {
	safe := s.group.Safe()
	var all sync.WaitGroup
	for _, name := range slices.Sorted(maps.Keys(s.group.Servers)) {
		if name == s.member {
			continue
		}
		all.Go(func() {
			limited, cancel := context.WithTimeout(ctx, slotLimit)
			defer cancel()
			restart, err := s.keepSlot(limited, name, safe)
			s.note(ctx, name, slotWord{restart, err})
		})
	}
	all.Wait()
}

// note keeps what came of a look, and says what is new.
func (s *groupSource) note(ctx context.Context, name string, w slotWord) {
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	if s.slots == nil {
		s.slots = map[string]slotWord{}
	}
	before, known := s.slots[name]
	s.slots[name] = w
	s.mu.Unlock()
	switch {
	case w.err != nil && (before.err == nil || before.err.Error() != w.err.Error()):
		s.options.Log.WarnContext(ctx, "a member keeps no log for the source", "source", s.options.Name, "member", name, "err", w.err)
	case w.err == nil && (!known || before.err != nil):
		s.options.Log.InfoContext(ctx, "a member keeps log for the source", "source", s.options.Name, "member", name, "from", w.restart)
	}
}

// errNoStandby says that a server which does not lead is none: it was promoted, or comes back.
var errNoStandby = errors.New("it is no standby")

// keepSlot makes or moves the slot on one standby, and returns from where on it keeps log.
func (s *groupSource) keepSlot(ctx context.Context, name string, safe history.Position) (wal.LSN, error) {
	conn, err := pgconnConnect(ctx, s.group.Servers[name])
	if err != nil {
		return 0, s.explain(ctx, "connect to "+name, err)
	}
	defer closeSoon(conn.Close)
	restart, held, err := s.slotOn(ctx, conn)
	if err != nil {
		return 0, s.explain(ctx, "look at slot "+s.slot, err)
	}
	if held && restart == 0 { // it was invalidated: it can't be used any more
		if _, err := queryRows(ctx, conn, "SELECT pg_catalog.pg_drop_replication_slot($1)", s.slot); err != nil {
			return 0, s.explain(ctx, "drop slot "+s.slot, err)
		}
		held = false
	}
	if !held {
		if _, err := queryRows(ctx, conn, "SELECT pg_catalog.pg_create_physical_replication_slot($1, true)", s.slot); err != nil {
			return 0, s.explain(ctx, "create replication slot "+s.slot, err)
		}
		restart, _, err = s.slotOn(ctx, conn)
		return restart, err
	}
	return s.moveSlot(ctx, conn, restart, safe)
}

// slotOn reads the slot of a standby.
func (s *groupSource) slotOn(ctx context.Context, conn *pgconn.PgConn) (restart wal.LSN, held bool, err error) {
	row, err := queryRow(ctx, conn, "SELECT pg_catalog.pg_is_in_recovery()")
	if err != nil {
		return 0, false, err
	}
	if row[0] != "t" {
		return 0, false, errNoStandby
	}
	rows, err := queryRows(ctx, conn, "SELECT restart_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = $1", s.slot)
	if err != nil || len(rows) == 0 || rows[0][0] == "" {
		return 0, len(rows) > 0, err
	}
	restart, err = wal.ParseLSN(rows[0][0])
	return restart, true, err
}

// moveSlot lets a standby forget what a repository has. Positions of another timeline than that of the stream say nothing about its log. The server
// moves it no further than it has replayed.
func (s *groupSource) moveSlot(ctx context.Context, conn *pgconn.PgConn, restart wal.LSN, safe history.Position) (wal.LSN, error) {
	at := s.Source.Status().Position
	if safe.Timeline != at.Timeline || at.Seq < safe.Seq || wal.LSN(safe.Seq) <= restart {
		return restart, nil
	}
	rows, err := queryRows(ctx, conn, "SELECT end_lsn FROM pg_catalog.pg_replication_slot_advance($1, $2::pg_lsn) WHERE pg_catalog.pg_is_in_recovery()", s.slot, wal.LSN(safe.Seq).String())
	if err != nil {
		return restart, s.explain(ctx, "move slot "+s.slot, err)
	}
	if len(rows) == 1 {
		return wal.ParseLSN(rows[0][0])
	}
	return restart, nil
}

// slotText says in a line which members would leave a hole if they were promoted now; "" if none would.
func (s *groupSource) slotText() string {
	if s.group.Safe == nil || s.group.Lead == nil {
		return ""
	}
	safe := s.group.Safe()
	s.mu.Lock()
	defer s.mu.Unlock()
	var lacking []string
	for _, name := range slices.Sorted(maps.Keys(s.slots)) {
		switch w := s.slots[name]; {
		case w.err != nil:
			lacking = append(lacking, fmt.Sprintf("%s (%v)", name, w.err))
		case w.restart > wal.LSN(safe.Seq):
			lacking = append(lacking, fmt.Sprintf("%s (only from %s on)", name, w.restart))
		}
	}
	if len(lacking) == 0 {
		return ""
	}
	return "log that is in no repository yet is not kept by " + strings.Join(lacking, ", ") + ": it is needed if that member is promoted"
}

// Remains is engine.Remainer's.
func (s *groupSource) Remains() string {
	text := s.Source.Remains()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.slots) > 0 && text != "" {
		text += "; so it does on " + strings.Join(slices.Sorted(maps.Keys(s.slots)), ", ")
	}
	return text
}

// Remove drops the slot on all servers.
func (s *groupSource) Remove(ctx context.Context) error {
	errs := []error{s.Source.Remove(ctx)}
	for _, name := range slices.Sorted(maps.Keys(s.group.Servers)) {
		if name != s.member {
			errs = append(errs, s.dropOn(ctx, name))
		}
	}
	return errors.Join(errs...)
}

func (s *groupSource) dropOn(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, slotLimit)
	defer cancel()
	conn, err := pgconnConnect(ctx, s.group.Servers[name])
	if err != nil {
		return engine.WithHint(fmt.Sprintf("when it is there again: SELECT pg_drop_replication_slot('%s');", s.slot), "drop slot %s on %s: %w", s.slot, name, err)
	}
	defer closeSoon(conn.Close)
	_, err = queryRows(ctx, conn, "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND NOT active", s.slot)
	if err != nil {
		return s.explain(ctx, "drop slot "+s.slot+" on "+name, err)
	}
	return nil
}

// Leaves is engine.Leaver's: the slot is on each server. Whom commits wait for is the cluster's own.
func (g Group) Leaves(name, systemID string) []string {
	return []string{"on each of " + strings.Join(slices.Sorted(maps.Keys(g.Servers)), ", ") + ": " + g.Engine.Leaves(name, systemID)[0]}
}
