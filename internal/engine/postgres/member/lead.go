package member

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// promoting bounds a promotion: a server with much to replay is no candidate that should be waited for.
const promoting = 10 * time.Second

// unhurried is how long after a promotion that is done which no client waits for.
const unhurried = 500 * time.Millisecond

// Lead implements agent.Server.
func (s *Server) Lead(ctx context.Context, l agent.Lead, still func() bool) error {
	s.acting.Lock()
	defer s.acting.Unlock()
	out, err := s.keptQuery(ctx, "select pg_is_in_recovery()")
	if err != nil {
		return err
	}
	if out[0][0] == "t" {
		if err := s.promote(ctx, l, still); err != nil {
			return err
		}
	} else if err := s.set(ctx, map[string]string{"restart_after_crash": "off"}); err != nil {
		return err
	}
	if l.Up != nil {
		l.Up()
	}
	if err := s.asStandby(ctx); err != nil {
		return err
	}
	s.settleDown()
	return s.with(ctx, func(conn *pgconn.PgConn) error { return keepSlots(ctx, conn, l.Others) })
}

// asStandby leaves a primary so that whoever starts it again starts a standby of nobody.
func (s *Server) asStandby(ctx context.Context) error {
	if err := s.signal(); err != nil {
		return err
	}
	_, err := s.file(ctx, alone())
	return err
}

func (s *Server) promote(ctx context.Context, l agent.Lead, still func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, promoting)
	defer cancel()
	from := s.logged()
	if err := s.set(ctx, map[string]string{"synchronous_standby_names": names(l.Quorum), "restart_after_crash": "off", "restore_command": ""}); err != nil {
		return err
	}
	if err := s.reserve(l.Timeline); err != nil {
		return err
	}
	if !still() {
		return errors.New("the tenure ended before the promotion")
	}
	if _, err := s.keptQuery(ctx, "select pg_promote(false)"); err != nil {
		return fmt.Errorf("promote %s: %w", s.c.Name, err)
	}
	on := ""
	err := s.until(ctx, "it is primary", func() (bool, error) {
		out, err := s.keptQuery(ctx, "select case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) end")
		if err == nil {
			on = out[0][0]
		} else if pid, perr := postmaster(s.c.Dir); perr == nil && pid == 0 {
			return true, fmt.Errorf("its server ended: %s", s.said(from))
		}
		return on != "", err
	})
	if err == nil && on != fmt.Sprintf("%08X", l.Timeline) {
		err = fmt.Errorf("promote %s: it is on timeline %s, and should be on %08X", s.c.Name, on, l.Timeline)
	}
	return err
}

// reserve makes the server choose a timeline: it takes the first number that has no history file, so those below get one, which says that
// they led nowhere. The files stay: standbys ask for each up to their primary's, and find the newest by counting up.
func (s *Server) reserve(timeline uint32) error {
	r, err := openLog(s.c.Dir)
	if err != nil {
		return err
	}
	defer r.close()
	entries, err := os.ReadDir(s.path("pg_wal"))
	if err != nil {
		return err
	}
	there := map[uint32]bool{}
	for _, e := range entries {
		if t, err := wal.ParseHistoryName(e.Name()); err == nil {
			there[t] = true
			if t >= timeline {
				return fmt.Errorf("promote %s to timeline %d: it has the history of %d already", s.c.Name, timeline, t)
			}
		}
	}
	if r.highest >= timeline {
		return fmt.Errorf("promote %s to timeline %d: it has log of timeline %d already", s.c.Name, timeline, r.highest)
	}
	for t := r.highest + 1; t < timeline; t++ {
		if there[t] {
			continue
		}
		name := s.path("pg_wal", wal.HistoryName(t))
		if err := s.put(name, []byte("# given to another member\n")); err != nil {
			return err
		}
	}
	return nil
}

// settleDown has the server read its settings, and the new timeline stand in its control file, which a rewind from here would not see otherwise.
// Both wait in the background until clients have begun again: their commits wait for the same disk, and each session would read the settings before its first
// statement.
func (s *Server) settleDown() {
	s.busy.Add(1)
	go func() {
		defer s.busy.Done()
		ctx, cancel := context.WithTimeout(s.ctx, time.Hour)
		defer cancel()
		select {
		case <-time.After(unhurried):
		case <-ctx.Done():
			return
		}
		err := s.with(ctx, func(conn *pgconn.PgConn) error {
			_, err := query(ctx, conn, reload)
			if err == nil {
				_, err = query(ctx, conn, "checkpoint")
			}
			return err
		})
		if err != nil && ctx.Err() == nil {
			s.say("%s wrote no checkpoint after its promotion: %v", s.c.Name, err)
		}
	}()
}

// Flush implements agent.Server.
func (s *Server) Flush(ctx context.Context) error {
	return s.with(ctx, func(conn *pgconn.PgConn) error {
		if _, err := query(ctx, conn, "checkpoint"); err != nil {
			return fmt.Errorf("write a checkpoint of %s: %w", s.c.Name, plain(err))
		}
		return s.newSegment(ctx, conn)
	})
}

// anew begins a segment of log, and gives where that is. A standby asks a new primary for the segment in which the old one's log ends, from its beginning
// (RequestXLogStreaming), and commits wait until it has all that once more: up to 16 MB. Standbys look as far behind as the rest of the segment is large,
// so nothing is done where that is more than a switchover bears (cluster.Config.Lagging), together with what they lack already.
const anew = `select pg_switch_wal(), pg_current_wal_insert_lsn()
 from (select pg_size_bytes(current_setting('wal_segment_size')) as size) s, lateral (select mod(pg_current_wal_insert_lsn() - '0/0', size) as used) u
 where used > 1048576 and size - used <= 15 * 1048576
 and not exists (select from pg_stat_replication where state = 'streaming' and pg_current_wal_insert_lsn() - flush_lsn > 524288)`

// arriving bounds the wait for standbys to have the rest of a segment.
const arriving = 2 * time.Second

// newSegment has the log go on in a segment of which little is used, and waits for standbys a moment: nothing rests on it.
func (s *Server) newSegment(ctx context.Context, conn *pgconn.PgConn) error {
	out, err := query(ctx, conn, anew)
	if err != nil || len(out) == 0 {
		return plain(err)
	}
	begun, err := wal.ParseLSN(out[0][1])
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, arriving)
	defer cancel()
	_ = s.until(waiting, "its standbys have a segment", func() (bool, error) {
		late, err := query(waiting, conn, "select from pg_stat_replication where state = 'streaming' and flush_lsn < "+literal(recordEnd(begun).String()))
		return err == nil && len(late) == 0, err
	})
	return nil
}

// names is synchronous_standby_names for a quorum.
func names(q cluster.Quorum) string {
	if q.K <= 0 {
		return ""
	}
	var all []string
	for _, n := range q.Names {
		all = append(all, `"`+strings.ReplaceAll(n, `"`, `""`)+`"`)
	}
	return fmt.Sprintf("ANY %d (%s)", q.K, strings.Join(all, ", "))
}
