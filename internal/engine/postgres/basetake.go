package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// TakeBase is engine.Source's. Files are read where they can be; else the server sends them. A standby may be the
// source too: its base begins at its last restartpoint, and ends where replay must come at least.
//
// The timeline of a base is the server's, whatever options say: a log that broke goes on at a higher place of it.
func (s *Source) TakeBase(ctx context.Context, o engine.BaseOptions, sink engine.BaseSink) (engine.BaseResult, error) {
	if o.Type != "" && o.Type != history.Full {
		return engine.BaseResult{}, fmt.Errorf("take base: a %s one cannot be taken of PostgreSQL", o.Type)
	}
	conn, err := s.baseReplication(ctx)
	if err != nil {
		return engine.BaseResult{}, fmt.Errorf("take base: %w", err)
	}
	defer closeSoon(conn.Close)
	b, err := s.takeBase(ctx, conn, o, sink)
	if code(err) != "" && !errors.As(err, new(interface{ Hint() string })) {
		err = s.explain(ctx, "copy "+s.where(), err)
	}
	var res engine.BaseResult
	if err == nil {
		res, err = b.result(s.system, s.segmentSize, o)
	}
	if err != nil {
		return engine.BaseResult{}, fmt.Errorf("take base: %w", err)
	}
	return res, nil
}

// takeBase pins the log and takes the base in the way that this host can.
func (s *Source) takeBase(ctx context.Context, conn *replication.Conn, o engine.BaseOptions, sink engine.BaseSink) (*takenBase, error) {
	sys, err := conn.Identify(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.sameCluster(sys.ID); err != nil {
		return nil, err
	}
	if o.NewTimeline {
		if err := s.dropSlot(ctx, conn); err != nil {
			return nil, err
		}
	}
	if err := s.ensureSlot(ctx, conn); err != nil {
		return nil, err
	}
	db, refused := s.baseSQL(ctx)
	if refused != nil && !noDatabaseFor(refused) {
		return nil, refused
	}
	if db != nil {
		defer closeSoon(db.Close)
	}
	standby, err := inRecovery(ctx, conn)
	if err != nil {
		return nil, err
	}
	begun := func(start wal.LSN, at time.Time) error { return s.baseBegan(o, sys, standby, start, at) }
	watched, stop := s.watchPin(ctx)
	b, err := s.copyBase(watched, conn, db, refused, sink, begun)
	if watched.Err() != nil {
		err = context.Cause(watched)
	}
	stop()
	if err != nil {
		return nil, err
	}
	return b, s.stillPinned(ctx)
}

// baseBegan says that a base begins at start, or why it will be of no use. On which timeline that of a standby begins is told at its end only.
func (s *Source) baseBegan(o engine.BaseOptions, sys replication.System, standby bool, start wal.LSN, at time.Time) error {
	b := &takenBase{start: start, startLine: sys.Timeline, stop: max(start, sys.Flushed)}
	from, err := b.from(s.segmentSize, o)
	if err != nil || standby || o.Begun == nil {
		return err
	}
	return o.Begun(engine.Begun{Bookmark: engine.Bookmark{Position: position(b.startLine, from), Time: at}, Stands: position(b.startLine, b.stop)})
}

// pinLook is how often the slot is looked at while a base is copied: hours may pass, and without the log it is worth nothing.
const pinLook = 10 * time.Second

// watchPin cancels ctx with the reason when the slot is lost. stop ends the watch.
func (s *Source) watchPin(ctx context.Context) (watched context.Context, stop func()) {
	return watch(ctx, pinLook, func(ctx context.Context) error {
		var lost *lostPin
		if errors.As(s.stillPinned(ctx), &lost) { // whether it can be asked shows at the end
			return lost
		}
		return nil
	})
}

// copyBase takes the base. refused is why db is nil.
func (s *Source) copyBase(ctx context.Context, conn *replication.Conn, db *pgconn.PgConn, refused error, sink engine.BaseSink, begun func(wal.LSN, time.Time) error) (*takenBase, error) {
	label, log := "backstay "+s.options.Name, s.options.Log.With("source", s.options.Name)
	dir, err := "", fmt.Errorf("%w: %w", errElsewhere, refused)
	if db != nil {
		dir, err = s.localDir(ctx, db, conn.Version())
	}
	if err == nil {
		s.count(func(n *Counters) { n.FileBases++ })
		f := &fileBase{conn: db, dir: dir, major: conn.Version(), label: label, sink: sink, log: log, begun: begun}
		b, err := f.take(ctx)
		if err == nil {
			f.tell(ctx)
		}
		return b, err
	}
	if !errors.Is(err, errElsewhere) {
		return nil, err
	}
	log.InfoContext(ctx, "taking the base over the network", "why", err)
	s.count(func(n *Counters) { n.StreamBases++ })
	r := &remoteBase{conn: conn, sql: db, refused: refused, clock: s.serverClock, label: label, sink: sink, log: log, begun: begun}
	return r.take(ctx)
}

// localDir is the data directory, if its files can be read from here.
func (s *Source) localDir(ctx context.Context, db *pgconn.PgConn, major int) (string, error) {
	system, err := strconv.ParseUint(s.system, 10, 64)
	if err != nil {
		return "", fmt.Errorf("read system identifier %q: %w", s.system, err)
	}
	return localDir(ctx, db, major, system)
}

// baseSettings is the configuration for connections of a base: a name of their own, so that no commit ever waits for
// them.
func (s *Source) baseSettings(ctx context.Context) (*pgconn.Config, error) {
	c, err := s.settings(ctx)
	if err != nil {
		return nil, err
	}
	c.RuntimeParams["application_name"] = ApplicationName + " base"
	return c, nil
}

func (s *Source) baseReplication(ctx context.Context) (*replication.Conn, error) {
	settings, err := s.baseSettings(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := replication.Open(ctx, settings)
	if err != nil {
		return nil, s.explain(ctx, "connect to "+s.where(), err)
	}
	return conn, nil
}

// baseSQL connects to a database. A role for which noDatabaseFor the error gets a base all the same; any other error may
// be gone the next time.
func (s *Source) baseSQL(ctx context.Context) (*pgconn.PgConn, error) {
	settings, err := s.baseSettings(ctx)
	if err != nil {
		return nil, err
	}
	return s.database(ctx, settings)
}

// stillPinned sees that the log which the base needs was held back all the time.
func (s *Source) stillPinned(ctx context.Context) error {
	conn, err := s.baseReplication(ctx)
	if err != nil {
		return err
	}
	defer closeSoon(conn.Close)
	state, err := s.readSlot(ctx, conn)
	if err != nil {
		return err
	}
	if state.unknown || state.exists && !state.lost {
		return nil
	}
	return &lostPin{s.slot}
}

// lostPin says that the log which a base needs is not kept any more.
type lostPin struct{ slot string }

func (e *lostPin) Error() string {
	return fmt.Sprintf("replication slot %s was lost while the base was taken, and with it log that the base needs", e.slot)
}

// Hint says what helps.
func (e *lostPin) Hint() string {
	return "raise max_slot_wal_keep_size: it must cover the log that is written until it is taken from the slot"
}

// serverClock asks for the server's time, with nothing but the right to replicate.
func (s *Source) serverClock(ctx context.Context) (time.Time, error) {
	conn, err := s.baseReplication(ctx)
	if err != nil {
		return time.Time{}, err
	}
	defer closeSoon(conn.Close)
	return streamClock(ctx, conn)
}

// streamClock begins to stream at the end of the log, only to see a message with the time in it. conn is used up.
func streamClock(ctx context.Context, conn *replication.Conn) (time.Time, error) {
	sys, err := conn.Identify(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the time: %w", err)
	}
	stream, err := conn.Stream(ctx, replication.StreamOptions{From: sys.Flushed, Timeline: sys.Timeline})
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the time: %w", err)
	}
	defer stream.Close()
	if err := stream.Confirm(replication.Status{Reply: true}); err != nil {
		return time.Time{}, fmt.Errorf("ask for the time: %w", err)
	}
	m, err := stream.Receive()
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the time: %w", err)
	}
	return m.Time, nil
}
