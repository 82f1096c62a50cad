package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// Engine is the engine for PostgreSQL servers. The zero value is ready for use.
type Engine struct{}

var (
	_ engine.Protector = Engine{}
	_ engine.Leaver    = Engine{}
	_ engine.Remainer  = (*Source)(nil)
	_ engine.Adviser   = (*Source)(nil)
	_ engine.Lasting   = (*Source)(nil)
)

// Kind is "postgres".
func (Engine) Kind() string { return "postgres" }

// The versions that are supported.
const (
	oldest = 12
	newest = 18
)

// Connect checks that the server behind url, for example postgres://backstay@db1:5432, lets us replicate. It makes
// nothing there; the slot comes with the first base.
func (Engine) Connect(ctx context.Context, url string, o engine.Options) (engine.Source, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Source{url: url, config: config, options: o, lookPause: firstPause}
	conn, err := s.replication(ctx)
	if err != nil {
		return nil, err
	}
	defer closeSoon(conn.Close)
	if v := conn.Version(); v < oldest || v > newest {
		return nil, engine.WithHint("versions 12 to 18 are supported", "connect to %s: the server is PostgreSQL %s", s.where(), conn.ServerVersion())
	}
	if err := s.learn(ctx, conn); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s.where(), err)
	}
	return s, nil
}

// learn asks for what stays the same as long as the cluster does.
func (s *Source) learn(ctx context.Context, conn *replication.Conn) error {
	sys, err := conn.Identify(ctx)
	if err != nil {
		return err
	}
	size, err := showBytes(ctx, conn, "wal_segment_size")
	if err != nil {
		return err
	}
	page, err := showBytes(ctx, conn, "wal_block_size")
	if err != nil {
		return err
	}
	if page != wal.PageSize || !wal.ValidSegmentSize(uint64(size)) {
		return fmt.Errorf("the server was built with pages of log of %d bytes; %d are supported", page, wal.PageSize)
	}
	s.system, s.segmentSize, s.version = sys.ID, uint64(size), conn.Version()
	s.slot = slotName(s.options.Name, sys.ID)
	s.logDir = s.findLog(ctx, conn)
	held, err := s.readSlot(ctx, conn)
	if err != nil {
		return err
	}
	from := held.restart
	if held.unknown && s.options.Confirmed != nil {
		from = wal.LSN(s.options.Confirmed().Seq)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slotMade, s.slotMay = held.exists, held.unknown
	if from != 0 && sys.Flushed > from {
		s.status.HeldBytes = int64(sys.Flushed - from)
	}
	return nil
}
