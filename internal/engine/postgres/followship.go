package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// stream follows the timeline of the position. Four goroutines work on it: the receiver reads into the queue, the pulse
// keeps the server from giving us up, the attendant has a witness say whether that is all, and this one ships what is in the
// queue: all that has come while the last shipment was under way goes with the next one.
func (f *follower) stream(ctx context.Context, conn *replication.Conn, server serverState) error {
	origin, prev := bookmarked{token: f.token, position: f.position}.origin(f.s.segmentSize)
	stream, err := conn.Stream(ctx, replication.StreamOptions{Slot: f.s.slot, From: origin, Timeline: f.position.Timeline})
	if err != nil {
		return f.explain(ctx, err)
	}
	f.s.count(func(n *Counters) { n.Connected++ })
	if f.s.lead != nil {
		f.s.lead.from(server.flushed)
		f.s.lead.reached(wal.LSN(f.position.Seq))
	}
	q, done := newQueue(f.s.segmentSize), make(chan struct{})
	r := newReceiver(f, server, stream, q, origin, prev)
	r.done = done
	var others sync.WaitGroup
	others.Go(func() { q.end(r.run()) })
	aside, cancel := context.WithCancel(ctx)
	defer cancel()
	others.Go(func() { r.pulse(aside, server.timeout) })
	if !r.clockless {
		others.Go(func() { r.attend(aside, beat(server.timeout)) })
	}
	err = f.shipments(ctx, q, r)
	close(done)
	cancel()
	stream.Close()
	others.Wait()
	return f.explain(ctx, err)
}

// explain says whether what ended the stream needs a new base.
func (f *follower) explain(ctx context.Context, err error) error {
	var ended *replication.EndOfTimeline
	var lost *lostLog
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &ended) && uint64(ended.At) > f.position.Seq:
		return f.gap("timeline %d ends at %s, inside of a record that was never finished", f.position.Timeline, ended.At)
	case errors.As(err, &ended), errors.As(err, new(shipError)), errors.As(err, new(*unreadable)):
		return err
	case errors.As(err, &lost):
		return f.gap("%s", lost.reason)
	}
	return f.explainRefusal(ctx, err)
}

// explainRefusal reads the server's own word on its log. See followdamage.go.
func (f *follower) explainRefusal(ctx context.Context, err error) error {
	switch code(err) {
	case undefinedFile:
		return f.gap("the server has removed log that was not received yet: %s", err)
	case dataCorrupted:
		return &unreadable{what: dataCorrupted, reason: err.Error(), looks: contentLooks}
	case ioError:
		return &unreadable{what: ioError, reason: err.Error(), looks: deviceLooks}
	case noPrivilege: // who is connected may replicate, so this is about a file
		return engine.WithHint("the server may not read its own log: see who owns the files in pg_wal, and their modes", "follow log: %w", err)
	}
	return f.s.explain(ctx, "follow log", err)
}

// shipError is an error of ship.
type shipError struct{ error }

func (e shipError) Unwrap() error { return e.error }

// shipments ships until the queue has ended or ship fails.
func (f *follower) shipments(ctx context.Context, q *queue, r *receiver) error {
	if err := r.confirm(false); err != nil {
		return err
	}
	for {
		list, whole, ended, err := q.take()
		if err := f.shipment(ctx, list, whole, r); err != nil {
			return err
		}
		q.release(list)
		switch {
		case ended:
			return err
		case len(list) > 0:
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-q.wake:
		}
	}
}

// idleEvery is how often a shipment without data says that nothing was committed.
const idleEvery = 900 * time.Millisecond

// shipment ships what was taken, and tells the server.
func (f *follower) shipment(ctx context.Context, list []parcel, whole time.Time, r *receiver) error {
	if len(list) == 0 && whole.Sub(f.until) < idleEvery {
		return nil
	}
	next := *f
	pieces := next.pieces(list, whole)
	if err := f.ship(ctx, pieces); err != nil {
		return shipError{err}
	}
	f.position, f.token, f.until = next.position, next.token, next.until
	f.s.shippedTo(f.position, f.until)
	if f.s.lead != nil {
		f.s.lead.reached(wal.LSN(f.position.Seq))
	}
	if len(list) == 0 {
		return nil
	}
	parts := int64(0)
	for _, p := range list {
		if !p.moves {
			parts++
		}
	}
	f.s.count(func(n *Counters) { n.Shipped++; n.Parts += parts })
	r.confirmed.Store(f.position.Seq)
	return r.confirm(false)
}

// pieces makes pieces of parcels and moves f to their end.
func (f *follower) pieces(list []parcel, whole time.Time) []engine.Piece {
	pieces := make([]engine.Piece, 0, len(list)+1)
	for _, p := range list {
		pieces = append(pieces, f.piece(p))
	}
	if whole.After(f.until) || len(pieces) == 0 {
		if len(pieces) == 0 {
			pieces = append(pieces, engine.Piece{From: f.position, To: f.position, Since: f.until, Token: f.token.encode()})
		}
		f.until = whole
		pieces[len(pieces)-1].Until = whole
	}
	return pieces
}

func (f *follower) piece(p parcel) engine.Piece {
	end := p.start + wal.LSN(len(p.data))
	size := f.s.segmentSize
	out := engine.Piece{From: f.position, Since: f.until, File: wal.SegmentName(f.position.Timeline, p.start, size),
		Offset: int64(p.start - p.start.SegmentStart(size)), Data: p.data}
	if p.moves {
		f.position = position(f.position.Timeline, end)
		f.token = token{System: f.token.System, History: f.token.History, Last: p.last.Start, Sum: p.last.Sum}
		out.Complete = end == end.SegmentStart(size)
		out.Marks = f.stamp(p.marks)
	} else {
		f.token.Next = end
	}
	out.To, out.Until, out.Token = f.position, f.until, f.token.encode()
	return out
}

// stamp gives marks times that never go back, and moves until to the last of them. Commits are stamped a moment before
// they are logged, so that their stamps are not quite in the order of the log; recovery goes by the latest stamp that it
// has met, and so do we. A commit that was not logged yet when the log was said to be whole up to its stamp had not been
// answered by then: its time is just after that.
func (f *follower) stamp(marks []history.Mark) []history.Mark {
	since := f.until
	for i := range marks {
		m := &marks[i]
		if !m.Time.After(since) {
			m.Time = since.Add(1)
		}
		if m.Time.Before(f.until) {
			m.Time = f.until
		}
		f.until = m.Time
	}
	return marks
}
