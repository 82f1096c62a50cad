package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// Follow is engine.Source's. Each timeline is a stream of its own:
//
//	identify ─▶ slot ─▶ route ─▶ enter the fork, if there is one ─▶ stream ─▶ ship ─▶ confirm …
//	    ▲                 └──────── lost: GapError ◀── for certain ───┤
//	    └──────────── end of the timeline, log that cannot be read ───┘
func (s *Source) Follow(ctx context.Context, from engine.Bookmark, ship engine.Ship) error {
	f := &follower{s: s, ship: ship, until: from.Time}
	mark, err := readBookmark(from)
	if err != nil {
		return err
	}
	f.position, f.token = mark.position, mark.token
	for tries := 0; ; {
		err := f.timeline(ctx)
		var ended *replication.EndOfTimeline
		var bad *unreadable
		if errors.As(err, &bad) {
			if err = f.lookAgain(ctx, bad); err == nil {
				continue
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &ended):
			tries = 0
		case code(err) == wrongState && !f.renewed:
			f.renewed = true
			if err := s.renewSlot(ctx); err != nil {
				s.fault(err)
				return err
			}
		case code(err) == inUse && tries < slotTries: // perhaps by our last connection, which the server has not ended yet
			tries++
			_ = backoff.Sleep(ctx, slotPause)
		default:
			s.fault(err)
			return err
		}
	}
}

// renewSlot drops the slot that the server does not stream from.
func (s *Source) renewSlot(ctx context.Context) error {
	conn, err := s.replication(ctx)
	if err != nil {
		return err
	}
	defer closeSoon(conn.Close)
	s.options.Log.WarnContext(ctx, "the server does not stream from the replication slot; making it anew", "source", s.options.Name, "slot", s.slot)
	return s.dropSlot(ctx, conn)
}

// How often a slot that is in use is tried again, and after what time.
const (
	slotTries = 50
	slotPause = 100 * time.Millisecond
)

// follower is one Follow.
type follower struct {
	s    *Source
	ship engine.Ship

	position history.Position // up to where everything was shipped
	token    token            // of that position
	until    time.Time        // up to when the log is known to be whole there

	bad     suspicion
	renewed bool // the slot was dropped because the server refused it
}

// timeline follows the timeline of the position to its end.
func (f *follower) timeline(ctx context.Context) error {
	s := f.s
	conn, err := s.streaming(ctx)
	if err != nil {
		return err
	}
	defer closeSoon(conn.Close)
	server, err := f.look(ctx, conn)
	if err != nil {
		return err
	}
	if err := s.ensureSlot(ctx, conn); err != nil {
		return err
	}
	r := routeFrom(f.position, server.way, server.flushed, server.standby)
	switch {
	case r.lost != "":
		return f.gap("%s", r.lost)
	case r.wait:
		return engine.WithHint("it is tried again; the standby may still receive it", "follow log: the standby has log up to %s only, and %s is here already", server.flushed, f.position.Mark)
	}
	s.enter(f.position, server.flushed)
	if err := f.enterTimeline(ctx, conn, server.way, r.fork); err != nil {
		return err
	}
	return f.stream(ctx, conn, server)
}

// serverState is what matters of a server when a stream is begun.
type serverState struct {
	way     wal.History // how it came to its timeline
	flushed wal.LSN
	standby bool
	timeout time.Duration // after which it gives up a client that is silent, 0 for never
}

// clocklessOf reports whether the server's clock says nothing about commits on a timeline.
func (s serverState) clocklessOf(timeline uint32) bool {
	return s.standby || s.way.Timeline != timeline
}

func (f *follower) look(ctx context.Context, conn *replication.Conn) (serverState, error) {
	s := f.s
	sys, err := conn.Identify(ctx)
	if err != nil {
		return serverState{}, s.explain(ctx, "identify "+s.where(), err)
	}
	if known := f.token.System; known != "" && known != sys.ID {
		return serverState{}, anotherCluster(sys.ID, known)
	}
	if err := s.sameCluster(sys.ID); err != nil {
		return serverState{}, err
	}
	f.token.System = sys.ID
	st := serverState{way: wal.History{Timeline: sys.Timeline}, flushed: sys.Flushed}
	if sys.Timeline > 1 {
		raw, err := conn.TimelineHistory(ctx, sys.Timeline)
		if err != nil {
			return st, s.explainHistory(ctx, sys.Timeline, err)
		}
		if st.way, err = wal.ParseHistory(sys.Timeline, raw); err != nil {
			return st, err
		}
	}
	if st.standby, err = inRecovery(ctx, conn); err != nil {
		return st, s.explain(ctx, "ask whether the server is a standby", err)
	}
	list, err := s.readDemand(ctx, conn)
	if err != nil {
		return st, s.explain(ctx, "ask whom commits wait for", err)
	}
	s.demands(list)
	timeout, err := conn.Show(ctx, "wal_sender_timeout")
	if err != nil {
		return st, s.explain(ctx, "ask for wal_sender_timeout", err)
	}
	st.timeout, err = parseDuration(timeout)
	return st, err
}

// explainHistory is for a history file that the server should have.
func (s *Source) explainHistory(ctx context.Context, timeline uint32, err error) error {
	what := fmt.Sprintf("ask for the history of timeline %d", timeline)
	if code(err) != undefinedFile {
		return s.explain(ctx, what, err)
	}
	return engine.WithHint(fmt.Sprintf("without it no standby can follow the server either: put pg_wal/%s back, from another server of the cluster or from a log archive", wal.HistoryName(timeline)),
		"%s: %w", what, err)
}

// inRecovery asks over a replication connection, on which there are no functions.
func inRecovery(ctx context.Context, conn *replication.Conn) (bool, error) {
	v, err := conn.Show(ctx, "transaction_read_only")
	return v == "on", err
}

// parseDuration reads a time as the server prints it: "0", "500ms", "1min", "2h", "1d".
func parseDuration(s string) (time.Duration, error) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	unit, ok := map[string]time.Duration{"": time.Millisecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second,
		"min": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[s[i:]]
	n := time.Duration(0)
	for _, c := range s[:i] {
		n = n*10 + time.Duration(c-'0')
	}
	if !ok || i == 0 || i > 9 {
		return 0, fmt.Errorf("read duration %q: want a number with us, ms, s, min, h or d", s)
	}
	return n * unit, nil
}

// enterTimeline ships the history file of the timeline that is followed next, unless that was done, with the fork that
// leads to it.
func (f *follower) enterTimeline(ctx context.Context, conn *replication.Conn, way wal.History, fork *history.Fork) error {
	timeline := f.position.Timeline
	if fork != nil {
		timeline = fork.Child
	}
	if timeline == 1 || f.token.History == timeline {
		return nil
	}
	raw, err := conn.TimelineHistory(ctx, timeline)
	if err != nil {
		return f.s.explainHistory(ctx, timeline, err)
	}
	if _, err := wal.ParseHistory(timeline, raw); err != nil {
		return err
	}
	at, t, since := f.position, f.token, f.sinceFork(ctx, fork)
	t.History = timeline
	if fork != nil {
		at = position(fork.Child, wal.LSN(fork.At.Seq))
		// The new timeline's file begins with what the old one's has before the fork. It is shipped too, so that each
		// file is whole.
		t = token{System: t.System, History: timeline, Next: wal.LSN(at.Seq).SegmentStart(f.s.segmentSize)}
	}
	p := engine.Piece{From: at, To: at, Since: since, Until: since, File: wal.HistoryName(timeline), Complete: true, Data: raw, Token: t.encode(), Fork: fork}
	if err := f.ship(ctx, []engine.Piece{p}); err != nil {
		return err
	}
	f.position, f.token, f.until = at, t, since
	if fork != nil {
		f.s.count(func(n *Counters) { n.Forks++ })
		f.s.options.Log.InfoContext(ctx, "the source went on to another timeline", "source", f.s.options.Name, "timeline", timeline, "at", fork.At.Mark)
	}
	f.s.enter(at, 0)
	return nil
}

func (f *follower) gap(format string, args ...any) error {
	return &history.GapError{From: f.position, Reason: fmt.Sprintf(format, args...)}
}
