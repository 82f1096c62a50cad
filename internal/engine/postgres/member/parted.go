package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// parted is what was last learned, at once, of whether a log that was replayed up to at has parted from the one of a member, or that one has
// no more what comes next. It asks that member in the background.
func (s *Server) parted(member string, at history.Position) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked.of != member {
		s.asked = inquiry{of: member}
	}
	if !s.asked.running && time.Now().After(s.asked.next) && s.ctx.Err() == nil {
		s.asked.running = true
		s.busy.Add(1)
		go s.inquire(member, at)
	}
	return s.asked.parted
}

func (s *Server) inquire(member string, at history.Position) {
	defer s.busy.Done()
	ctx, cancel := context.WithTimeout(s.ctx, settle)
	defer cancel()
	parted := false
	up, err := s.upstream(ctx, member)
	if err == nil {
		parted = up.forked(at) != nil
		if !parted {
			parted = s.missed(ctx, member, up, at)
		}
		if cerr := up.conn.CreateSlot(ctx, slot(s.c.Name)); cerr != nil && code(cerr) != alreadyThere {
			s.say("%s has no slot at %s: %v", s.c.Name, member, plain(cerr))
		}
		up.close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked.of == member {
		s.asked = inquiry{of: member, next: time.Now().Add(inquireEach), parted: parted}
	}
}

// missed reports whether a member has dropped what comes behind at, and nobody else has it.
func (s *Server) missed(ctx context.Context, member string, up *upstream, at history.Position) bool {
	if s.c.Restore != "" {
		return false
	}
	size, err := segmentSize(s.c.Dir)
	if err != nil {
		return false
	}
	other, err := s.upstream(ctx, member) // the stream takes its connection
	if err != nil {
		return false
	}
	defer other.close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	stream, err := other.conn.Stream(ctx, replication.StreamOptions{From: wal.LSN(at.Seq).SegmentStart(size), Timeline: min(at.Timeline, up.system.Timeline)})
	if err == nil {
		_, err = stream.Receive()
		_ = stream.Close() // nothing was taken from it
	}
	return code(err) == undefinedFile
}

// upstream is a member as one that streams from it sees it.
type upstream struct {
	conn   *replication.Conn
	system replication.System
	way    wal.History
}

func (s *Server) upstream(ctx context.Context, member string) (*upstream, error) {
	base, ok := s.c.Members[member]
	if !ok {
		return nil, fmt.Errorf("%s does not know how to reach %s", s.c.Name, member)
	}
	conf, err := pgconn.ParseConfig(base)
	if err != nil {
		return nil, fmt.Errorf("read how %s is reached: it is not a conninfo", member) // the cause may show a password
	}
	conf.RuntimeParams["application_name"] = "backstay agent" // not the member's: that one would count as a standby
	conn, err := replication.Open(ctx, conf)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", member, plain(err))
	}
	u := &upstream{conn: conn}
	if u.system, err = conn.Identify(ctx); err == nil {
		u.way, err = wayOf(ctx, conn, u.system.Timeline)
	}
	if err != nil {
		u.close()
		return nil, fmt.Errorf("ask %s for its log: %w", member, plain(err))
	}
	return u, nil
}

func (u *upstream) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = u.conn.Close(ctx)
}

func wayOf(ctx context.Context, conn *replication.Conn, timeline uint32) (wal.History, error) {
	if timeline == 1 {
		return wal.History{Timeline: 1}, nil // the first has no file
	}
	b, err := conn.TimelineHistory(ctx, timeline)
	if err != nil {
		return wal.History{}, err
	}
	return wal.ParseHistory(timeline, b)
}

// forked is where a log that comes to at parted from the upstream's; nil: it did not.
func (u *upstream) forked(at history.Position) *history.Position {
	left, _, ok := u.way.Left(at.Timeline)
	switch {
	case at.Timeline == u.system.Timeline:
		return nil
	case !ok: // it never was on that timeline: what they share is not known, but no more than the upstream's beginning
		fork := position(at.Timeline, 0)
		return &fork
	case at.Seq > uint64(left):
		fork := position(at.Timeline, left)
		return &fork
	default:
		return nil
	}
}

var errNotPrimary = errors.New("it is not primary there")

// primaryOf makes sure that a member is primary on a timeline.
func (u *upstream) primaryOf(ctx context.Context, timeline uint32) error {
	if u.system.Timeline != timeline {
		return fmt.Errorf("it is on timeline %d, and the state says %d", u.system.Timeline, timeline)
	}
	if u.conn.Version() >= 14 {
		if standby, err := u.conn.Show(ctx, "in_hot_standby"); err != nil {
			return err
		} else if standby != "off" {
			return errNotPrimary
		}
	}
	return nil
}
