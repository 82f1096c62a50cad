package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// TakeBase is engine.Source's. While the log is followed the base is taken from a replica that is fit, so that the primary is not read; one that
// begins a line is the primary's, since what it needs from its start on must be followed.
func (s *groupSource) TakeBase(ctx context.Context, o engine.BaseOptions, sink engine.BaseSink) (engine.BaseResult, error) {
	name, replica := s.replica(ctx, o)
	if replica == nil {
		return s.Source.TakeBase(ctx, o, sink)
	}
	s.options.Log.InfoContext(ctx, "taking the base from a replica", "source", s.options.Name, "member", name)
	s.count(func(n *Counters) { n.ReplicaBases++ })
	return replica.TakeBase(ctx, o, sink)
}

// behindFit is how much log a replica may have to replay, and still have a base taken from it.
const behindFit = 64 << 20

// replica finds one that a base may be taken from: it is on our timeline, not far behind, and keeps our slot; and its last restart point, where a
// base would begin at the earliest, lies behind where the log was followed from, so that a repository has all that the base needs.
func (s *groupSource) replica(ctx context.Context, o engine.BaseOptions) (string, *Source) {
	s.mu.Lock()
	begun, slots := s.begun, maps.Clone(s.slots)
	s.mu.Unlock()
	if o.NewTimeline || begun.IsZero() {
		return "", nil
	}
	for _, name := range slices.Sorted(maps.Keys(slots)) {
		if slots[name].err != nil || slots[name].restart == 0 {
			continue
		}
		if err := s.fit(ctx, name, wal.LSN(begun.Seq)); err != nil {
			s.options.Log.InfoContext(ctx, "no base is taken from a replica", "source", s.options.Name, "member", name, "why", err)
			continue
		}
		config, err := parseURL(s.group.Servers[name])
		if err != nil {
			continue
		}
		return name, &Source{url: s.group.Servers[name], config: config, options: s.options, system: s.system, segmentSize: s.segmentSize, version: s.version, slot: s.slot, lookPause: firstPause}
	}
	return "", nil
}

// fit says why a replica is not fit, or nil.
func (s *groupSource) fit(ctx context.Context, name string, begun wal.LSN) error {
	ctx, cancel := context.WithTimeout(ctx, slotLimit)
	defer cancel()
	conn, err := pgconnConnect(ctx, s.group.Servers[name])
	if err != nil {
		return err
	}
	defer closeSoon(conn.Close)
	row, err := queryRow(ctx, conn, `SELECT pg_catalog.pg_is_in_recovery(), c.redo_lsn, c.timeline_id, pg_catalog.pg_last_wal_replay_lsn(), s.system_identifier
		FROM pg_catalog.pg_control_checkpoint() c, pg_catalog.pg_control_system() s`)
	if err != nil {
		return err
	}
	at := s.Source.Status().Position
	redo, err := wal.ParseLSN(row[1])
	if err != nil {
		return err
	}
	replayed, err := wal.ParseLSN(row[3])
	if err != nil {
		return err
	}
	switch {
	case row[0] != "t":
		return errNoStandby
	case row[4] != s.system:
		return fmt.Errorf("its system identifier is %s", row[4])
	case row[2] != strconv.FormatUint(uint64(at.Timeline), 10):
		return fmt.Errorf("its last restart point is of timeline %s", row[2])
	case redo < begun:
		return fmt.Errorf("its last restart point, %s, lies before %s, from where on the log was followed", redo, begun)
	case replayed+behindFit < wal.LSN(at.Seq):
		return fmt.Errorf("it has replayed up to %s only", replayed)
	}
	return nil
}
