package app

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/recovery"
)

// lender has log of a source from this host: from its spool, which needs no key, or with a key from the repositories.
type lender struct {
	h      *Host
	source string
}

// errNotHere says that log is not at hand.
var errNotHere = errors.New("the log behind it is not here")

// Lend writes log as package member reads it. See peer.Log.
func (l lender) Lend(ctx context.Context, from history.Position, size uint64, to io.Writer) error {
	err := l.fromSpool(ctx, from, size, to)
	if !errors.Is(err, errNotHere) {
		return err
	}
	if _, kerr := l.h.reader(); kerr != nil {
		return fmt.Errorf("lend log behind %s: neither in the spool, nor is there a key for the repositories: %w", from.Plain(), err)
	}
	return l.fromRepositories(ctx, from, size, to)
}

func (l lender) fromSpool(ctx context.Context, from history.Position, size uint64, to io.Writer) error {
	local := l.h.openLocal(l.source)
	if local == nil {
		return errNotHere
	}
	defer local.Close() // it was only read
	log, err := local.Beyond(history.History{})
	if err != nil {
		return err
	}
	return lend(ctx, log, local.Forks(), from, size, to)
}

func (l lender) fromRepositories(ctx context.Context, from history.Position, size uint64, to io.Writer) error {
	reached, err := l.h.Open(ctx, Reach{Source: l.source, Spool: true})
	if err != nil {
		return err
	}
	defer reached.Close() // it was only read
	plan, err := reached.PlanRestore(ctx, history.Target{Kind: history.Latest})
	if err != nil {
		return err
	}
	log := recovery.OpenLog(plan.Plan, plan.origins[0], plan.spools[0])
	return lend(ctx, log, plan.origins[0].History.Forks, from, size, to)
}

// lend writes what lies behind from on the way that the log went on: of each timeline up to where it was left.
func lend(ctx context.Context, log engine.Log, forks []history.Fork, from history.Position, size uint64, to io.Writer) error {
	out := &stretches{w: tar.NewWriter(to), from: from, size: size, limits: map[uint32]uint64{}}
	for _, f := range forks {
		out.limits[f.At.Timeline] = f.At.Seq
	}
	begun := false
	for _, histories := range []bool{true, false} { // a server that sees log of another timeline first would take it for its own
		for i, s := range log.Segments() {
			if s.To.Timeline < from.Timeline || s.To.Timeline == from.Timeline && s.To.Seq <= from.Seq {
				continue
			}
			if begun = begun || s.From.Timeline <= from.Timeline && s.From.Seq <= from.Seq; !begun {
				return errNotHere
			}
			if err := out.segment(ctx, log, i, histories); err != nil {
				return err
			}
		}
	}
	if !begun {
		return errNotHere
	}
	return out.w.Close()
}

// stretches writes log files and parts of them.
type stretches struct {
	w      *tar.Writer
	from   history.Position
	size   uint64            // of a log file
	limits map[uint32]uint64 // where a timeline was left
}

func (o *stretches) segment(ctx context.Context, log engine.Log, i int, histories bool) error {
	s, err := log.Open(ctx, i)
	if err != nil {
		return err
	}
	defer s.Close() // it was only read
	for _, e := range s.Entries() {
		_, herr := wal.ParseHistoryName(e.File)
		if e.Condensed || (herr == nil) != histories {
			continue
		}
		if err := o.entry(ctx, s, e, histories); err != nil {
			return err
		}
	}
	return nil
}

func (o *stretches) entry(ctx context.Context, s engine.LogSegment, e engine.LogEntry, history bool) error {
	r, err := s.Read(ctx, e)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if !history {
		if data, err = o.cut(e, data); err != nil || len(data) == 0 {
			return err
		}
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%s@%d", e.File, e.Offset), Size: int64(len(data)), Mode: 0o600}
	if err := o.w.WriteHeader(h); err != nil {
		return err
	}
	_, err = o.w.Write(data)
	return err
}

// cut leaves out what lies before from, but for what is in one piece with it, and what lies behind where the timeline was left.
func (o *stretches) cut(e engine.LogEntry, data []byte) ([]byte, error) {
	timeline, start, err := wal.ParseSegmentName(e.File, o.size)
	if err != nil {
		return nil, err
	}
	limit, left := o.limits[timeline]
	at := uint64(start) + uint64(e.Offset)
	if timeline == o.from.Timeline && at+uint64(len(data)) <= o.from.Seq {
		return nil, nil
	}
	if !left || at+uint64(len(data)) <= limit {
		return data, nil
	}
	if at >= limit {
		return nil, nil
	}
	return data[:limit-at], nil
}
