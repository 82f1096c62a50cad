package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
)

var _ engine.Awaited = (*Source)(nil)

// standbyName is what commits know us by.
func (s *Source) standbyName() string {
	return cmp.Or(s.receiver, s.config.RuntimeParams["application_name"])
}

// readDemand gives synchronous_standby_names where commits may wait for us by it, else "". At a standby there are none.
func (s *Source) readDemand(ctx context.Context, conn *replication.Conn) (string, error) {
	standby, err := inRecovery(ctx, conn)
	if err != nil || standby {
		return "", err
	}
	list, err := conn.Show(ctx, "synchronous_standby_names")
	if err != nil {
		return "", fmt.Errorf("ask for synchronous_standby_names: %w", err)
	}
	return s.demandOf(list), nil
}

// demandOf is the list if we are in it. The keepers of a cluster in which we are a member see to its list themselves.
func (s *Source) demandOf(list string) string {
	if at, _ := parseStandbyNames(list).index(s.standbyName()); s.receiver != "" || at < 0 {
		return ""
	}
	return list
}

// demands notes it for Remains.
func (s *Source) demands(list string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.demand = list
}

// withoutUs says what commits do when nothing follows the server, "" if they do not wait; s.mu is held.
func (s *Source) withoutUs() string {
	if s.demand == "" {
		return ""
	}
	text := "without Backstay commits wait there"
	if n := parseStandbyNames(s.demand); n.others() {
		text += " unless enough other standbys answer"
	}
	return fmt.Sprintf("%s, as synchronous_standby_names is '%s'", text, s.demand)
}

// Awaits is engine.Awaited's. A list that names us must be changed even if others answer today; for "any standby" they are enough.
func (s *Source) Awaits(ctx context.Context) (engine.Advice, error) {
	conn, err := s.replication(ctx)
	if err != nil {
		return engine.Advice{}, err
	}
	defer closeSoon(conn.Close)
	list, err := s.readDemand(ctx, conn)
	if err != nil || list == "" {
		return engine.Advice{}, err
	}
	n := parseStandbyNames(list)
	if _, any := n.index(s.standbyName()); any && s.othersAnswer(ctx, n.number) {
		return engine.Advice{}, ctx.Err()
	}
	do := "ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf();"
	if n.others() {
		do = fmt.Sprintf("set it to the standbys that stay, without %s: ALTER SYSTEM SET synchronous_standby_names = '…'; SELECT pg_reload_conf();", s.standbyName())
	}
	return engine.Advice{Severity: "warning", Text: fmt.Sprintf("its commits wait for Backstay, as synchronous_standby_names is '%s'", list), Do: do}, ctx.Err()
}

// othersAnswer reports whether so many other standbys are there that commits wait for. A role that may not see them gets no for an answer.
func (s *Source) othersAnswer(ctx context.Context, need int) bool {
	conn, err := s.sql(ctx)
	if err != nil {
		return false
	}
	defer closeSoon(conn.Close)
	row, err := queryRow(ctx, conn, "SELECT count(*) >= $1::int FROM pg_catalog.pg_stat_replication WHERE sync_state IN ('sync', 'quorum') AND application_name <> $2",
		strconv.Itoa(need), s.standbyName())
	return err == nil && row[0] == "t"
}
