package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// what asks a server for all of a Sight at once, as one text in JSON. Positions that are null there are missing here.
const what = `select json_build_object(
 'system', (select system_identifier::text from pg_control_system()),
 'standby', pg_is_in_recovery(),
 'inserted', case when not pg_is_in_recovery() then pg_current_wal_insert_lsn()::text end,
 'segment', case when not pg_is_in_recovery() then pg_walfile_name(pg_current_wal_insert_lsn()) end,
 'received', case when pg_is_in_recovery() then pg_last_wal_receive_lsn()::text end,
 'replayed', case when pg_is_in_recovery() then pg_last_wal_replay_lsn()::text end,
 'conninfo', current_setting('primary_conninfo'),
 'streaming', coalesce((select w.status = 'streaming' from pg_stat_wal_receiver w), false),
 'heard', (select extract(epoch from clock_timestamp() - w.last_msg_receipt_time) from pg_stat_wal_receiver w),
 'replicas', case when not pg_is_in_recovery() then (select coalesce(json_agg(json_build_object(
   'name', application_name, 'flushed', flush_lsn::text, 'replayed', replay_lsn::text, 'lag', extract(epoch from replay_lag), 'reply', extract(epoch from reply_time)::text)), '[]'::json)
   from pg_stat_replication where state in ('streaming', 'catchup') and flush_lsn is not null) end)`

type answer struct {
	System    string
	Standby   bool
	Inserted  string
	Segment   string
	Received  string
	Replayed  string
	Conninfo  string
	Streaming bool
	Heard     *float64
	Replicas  []struct {
		Name, Flushed, Replayed, Reply string
		Lag                            *float64
	}
}

// Look implements agent.Server.
func (s *Server) Look(ctx context.Context) (agent.Sight, error) {
	sight := agent.Sight{Heard: -1, Stalled: s.disk.stalled(), Full: s.disk.full(), Empty: s.empty()}
	pid, err := postmaster(s.c.Dir)
	if err != nil {
		return sight, err
	}
	if pid == 0 {
		return s.atRest(ctx, sight)
	}
	a, err := s.answer(ctx)
	switch {
	case err == nil:
	case code(err) == cannotConnectNow, noSocket(err):
		return s.atRest(ctx, sight) // it starts or stops
	default:
		return sight, err
	}
	if !s.opens() {
		return sight, fmt.Errorf("the server of %s lets no new session in", s.c.Name)
	}
	s.remember(pid)
	sight.SystemID = a.System
	if a.Standby {
		err = s.seeStandby(ctx, &sight, a)
	} else {
		err = s.seePrimary(&sight, a)
	}
	return sight, err
}

func (s *Server) answer(ctx context.Context) (a answer, err error) {
	out, err := s.keptWhat(ctx)
	if err == nil && len(out) != 1 {
		err = errors.New("the server answers nothing")
	}
	if err == nil {
		err = json.Unmarshal([]byte(out[0][0]), &a)
	}
	return a, err
}

func noSocket(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}

// empty reports whether there is no data, or an unfinished copy.
func (s *Server) empty() bool {
	if _, err := os.Stat(s.mark()); err == nil {
		return true
	}
	return s.lacks(filepath.FromSlash(datadir.ControlName))
}

// lacks reports whether the data directory has no such file.
func (s *Server) lacks(name string) bool {
	_, err := os.Stat(s.path(name))
	return errors.Is(err, os.ErrNotExist)
}

// atRest is a server that serves nobody.
func (s *Server) atRest(ctx context.Context, sight agent.Sight) (agent.Sight, error) {
	sight.Role = cluster.Stopped
	if sight.Empty {
		return sight, nil
	}
	e, err := s.lies(ctx)
	if err != nil {
		return agent.Sight{Stalled: sight.Stalled}, err
	}
	sight.SystemID, sight.Received = e.system, e.received
	return sight, nil
}

func (s *Server) seePrimary(sight *agent.Sight, a answer) error {
	at, err := wal.ParseLSN(a.Inserted)
	if err != nil || len(a.Segment) != 24 {
		return fmt.Errorf("the server tells %q and %q as its position", a.Inserted, a.Segment)
	}
	timeline, err := strconv.ParseUint(a.Segment[:8], 16, 32)
	if err != nil {
		return err
	}
	sight.Role = cluster.Primary
	at = recordEnd(at)
	sight.Received = position(uint32(timeline), at)
	for _, r := range a.Replicas {
		flushed, err := wal.ParseLSN(r.Flushed)
		if err != nil || s.silent(r.Name, r.Reply) {
			continue
		}
		seen := agent.Replica{Name: r.Name, Flushed: position(uint32(timeline), flushed)}
		if replayed, err := wal.ParseLSN(r.Replayed); err == nil && replayed < at {
			seen.Bytes = uint64(at - replayed)
			seen.Lag = seconds(r.Lag)
		}
		sight.Replicas = append(sight.Replicas, seen)
	}
	return nil
}

// recordEnd is where the last record ends, given where the next one will begin: a page's header may lie between, and nobody receives
// that before there is a record behind it.
func recordEnd(next wal.LSN) wal.LSN {
	if off := next % wal.PageSize; off == wal.ShortHeaderSize || off == wal.LongHeaderSize {
		return next - off
	}
	return next
}

func seconds(v *float64) time.Duration {
	if v == nil {
		return 0
	}
	return time.Duration(*v * float64(time.Second))
}

// lastWord is when a standby was last seen to say something new. Its own time of day says only that it did.
type lastWord struct {
	reply string
	at    time.Time
}

// mute is how long a standby may say nothing. It speaks at least once a second (wal_receiver_status_interval).
const mute = 2500 * time.Millisecond

// silent reports whether a standby has gone, though its connection still stands.
func (s *Server) silent(name, reply string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.replies[name].reply != reply {
		s.replies[name] = lastWord{reply, now}
	}
	return now.Sub(s.replies[name].at) > mute
}

func (s *Server) seeStandby(ctx context.Context, sight *agent.Sight, a answer) error {
	sight.Role, sight.Streaming = cluster.Standby, a.Streaming
	sight.Following = s.follows(a.Conninfo)
	if a.Heard != nil {
		sight.Heard = max(seconds(a.Heard), 0)
	}
	replayed, _ := wal.ParseLSN(a.Replayed)
	received, err := wal.ParseLSN(a.Received)
	if err != nil {
		// Nothing was received since it started: its log ends where the files do.
		e, err := s.lies(ctx)
		if err != nil {
			return err
		}
		received = wal.LSN(e.received.Seq)
	}
	at := max(received, replayed)
	r, err := openLog(s.c.Dir)
	if err != nil {
		return err
	}
	defer r.close()
	sight.Received = position(r.holds(at), at)
	if sight.Following != "" && !sight.Streaming {
		sight.Parted = s.parted(sight.Following, position(r.holds(replayed), replayed))
	}
	return nil
}
