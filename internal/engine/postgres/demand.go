package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

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
	if s.receiver != "" || !names(list, s.standbyName()) {
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

// waiting says what commits do without us, "" if they do not wait; s.mu is held.
func (s *Source) waiting() string {
	if s.demand == "" {
		return ""
	}
	text := "without Backstay commits wait there"
	if _, all := standbys(s.demand); len(all) > 1 || all[0] == "*" {
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
	need, all := standbys(list)
	if all[0] == "*" && s.othersAnswer(ctx, need) {
		return engine.Advice{}, ctx.Err()
	}
	do := "ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf();"
	if len(all) > 1 || all[0] == "*" {
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

// standbys reads synchronous_standby_names: "a, b", "2 (a, b)", "FIRST 1 (a, b)", "ANY 2 (*)". need is how many of them commits wait for.
func standbys(list string) (need int, all []string) {
	need = 1
	if method, rest, ok := strings.Cut(list, "("); ok {
		if fields := strings.Fields(method); len(fields) > 0 {
			need, _ = strconv.Atoi(fields[len(fields)-1]) // the server has read it
		}
		list = strings.TrimSuffix(strings.TrimSpace(rest), ")")
	}
	for word := range strings.SplitSeq(list, ",") {
		all = append(all, strings.Trim(strings.TrimSpace(word), `"`))
	}
	return need, all
}

// names reports whether synchronous_standby_names lists a standby of this name.
func names(list, name string) bool {
	_, all := standbys(list)
	for _, one := range all {
		if one == "*" || strings.EqualFold(one, name) {
			return true
		}
	}
	return false
}
