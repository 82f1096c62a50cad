package bare

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/route"
)

// sight is what a look at the server shows. All of it was seen in one statement, the promise first.
type sight struct {
	primary   bool
	system    string
	timeline  uint32
	at        uint64 // end of the log on its disk
	upstream  string // primary_conninfo
	receiving bool   // a receiver runs
	heard     time.Duration
	promised  uint64
	led       uint64
	streams   []cluster.Stream
	replicas  []route.Replica
	tame      bool // a primary that is read-only by default: fenced for those who play by the rules
}

const question = `select pg_is_in_recovery(),
 (select system_identifier from pg_control_system()),
 case when pg_is_in_recovery() then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) else pg_current_wal_flush_lsn() end - '0/0'::pg_lsn,
 case when pg_is_in_recovery() then
   coalesce((select received_tli from pg_stat_wal_receiver), greatest((select timeline_id from pg_control_checkpoint()), (select min_recovery_end_timeline from pg_control_recovery())))
  else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end,
 coalesce(current_setting('primary_conninfo', true), ''),
 exists (select from pg_stat_wal_receiver),
 coalesce((select (extract(epoch from clock_timestamp() - last_msg_receipt_time) * 1000)::bigint from pg_stat_wal_receiver), -1),
 coalesce((select string_agg(slot_name, ' ') from pg_replication_slots where slot_name like 'backstay\_%'), ''),
 current_setting('synchronous_standby_names') like '%backstay\_fenced%',
 coalesce((select string_agg(concat_ws(chr(31), application_name, flush_lsn - '0/0'::pg_lsn, coalesce((extract(epoch from replay_lag) * 1000)::bigint, 0), coalesce(sent_lsn - replay_lsn, 0)), chr(30))
  from pg_stat_replication where state = 'streaming' and flush_lsn is not null), '')`

// look asks the server what it is.
func (m *Member) look(ctx context.Context) (s sight, err error) {
	asked := m.now()
	err = m.eyes.use(ctx, func(c *session) error {
		s, err = m.see(ctx, c)
		return err
	})
	if err != nil {
		return s, fmt.Errorf("look at the server of %s: %w", m.c.Member, err)
	}
	m.note(&s, asked)
	return s, nil
}

func (m *Member) see(ctx context.Context, c *session) (sight, error) {
	r, err := c.ask(ctx, question)
	if err != nil {
		return sight{}, err
	}
	s := sight{
		primary: r.text(0, 0) == "f", system: r.text(0, 1), at: r.number(0, 2), timeline: uint32(r.number(0, 3)),
		upstream: r.text(0, 4), receiving: r.text(0, 5) == "t", heard: -1, tame: r.text(0, 8) == "t",
	}
	if ms, err := strconv.ParseInt(r.text(0, 6), 10, 64); err == nil && ms >= 0 {
		s.heard = time.Duration(ms) * time.Millisecond
	}
	s.promised, s.led = m.oaths(r.text(0, 7))
	for _, row := range strings.Split(r.text(0, 9), "\x1e") {
		m.stream(&s, strings.Split(row, "\x1f"))
	}
	return s, nil
}

// oaths are the highest epochs among the names of slots.
func (m *Member) oaths(names string) (promised, led uint64) {
	for _, name := range strings.Fields(names) {
		mark, ok := strings.CutPrefix(name, m.tag)
		if !ok || len(mark) < 2 {
			continue
		}
		epoch, err := strconv.ParseUint(mark[1:], 10, 64)
		switch {
		case err != nil:
		case mark[0] == 'p':
			promised = max(promised, epoch)
		case mark[0] == 'l':
			led = max(led, epoch)
		}
	}
	return promised, led
}

// stream takes in name, flushed, lag in ms and bytes that are not replayed.
func (m *Member) stream(s *sight, parts []string) {
	known := len(parts) == 4 && slices.ContainsFunc(m.c.Cluster.Peers, func(p cluster.Peer) bool { return p.Name == parts[0] && p.Name != m.c.Member })
	if !known {
		return
	}
	var n [3]int64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseInt(parts[i+1], 10, 64); err != nil || n[i] < 0 {
			return
		}
	}
	s.streams = append(s.streams, cluster.Stream{Name: parts[0], Flushed: history.At(s.timeline, uint64(n[0]))})
	s.replicas = append(s.replicas, route.Replica{Member: parts[0], Lag: time.Duration(n[1]) * time.Millisecond, Bytes: uint64(n[2])})
}

// note keeps the newest sight. The timeline of a log that ended is known better from when it was received than from what was replayed of it.
func (m *Member) note(s *sight, asked time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if have := m.seen; m.asked != cluster.Never && !s.primary && !s.receiving && have.system == s.system && have.at == s.at {
		s.timeline = max(s.timeline, have.timeline)
	}
	if asked < m.asked {
		return
	}
	m.seen, m.asked = *s, asked
	switch {
	case !s.primary || len(s.streams) >= m.c.Cluster.Sync:
		m.short = cluster.Never
	case m.short == cluster.Never:
		m.short = asked
	}
}

// following is the member that a primary_conninfo leads to; empty: none of the cluster's.
func (m *Member) following(conninfo string) string {
	if conninfo == "" {
		return ""
	}
	have, err := pgconn.ParseConfig(conninfo)
	if err != nil {
		return ""
	}
	address := net.JoinHostPort(have.Host, strconv.Itoa(int(have.Port)))
	for _, p := range m.c.Cluster.Peers {
		if p.Name != m.c.Member && p.Address == address {
			return p.Name
		}
	}
	return ""
}

// Probe implements peer.Member.
func (m *Member) Probe(ctx context.Context) (peer.Report, error) {
	s, err := m.look(ctx)
	if err != nil {
		return peer.Report{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	r := peer.Report{
		Fact: cluster.Fact{Name: m.c.Member, Role: cluster.Standby, SystemID: s.system, Promised: s.promised, Received: history.At(s.timeline, s.at)},
		Ages: peer.Ages{Heard: s.heard, Vouched: -1, Stalled: -1, Short: -1},
	}
	if !s.primary {
		r.Following = m.following(s.upstream)
		return r, nil
	}
	r.Role, r.Epoch, r.Streams = cluster.Primary, s.led, s.streams
	if m.told && m.counting.Epoch == s.led {
		r.Counting, r.Switched = m.counting, m.switched
	}
	r.Ages.Short = peer.Age(m.short, now)
	if r.Ages.Stalled = peer.Age(m.writing, now); r.Ages.Stalled < stalls {
		r.Ages.Stalled = -1
	}
	return r, nil
}

// stalls is how long a write may wait before the disk counts as one that takes none.
const stalls = 500 * time.Millisecond
