package postgres

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// receiver reads the stream into the queue. What other goroutines use of it is atomic.
type receiver struct {
	s       *Source
	stream  *replication.Stream
	q       *queue
	scanner *wal.Scanner
	done    <-chan struct{} // closed when nobody takes any more

	timeline  uint32
	floor     wal.LSN // records that end up to here were shipped before
	next      wal.LSN // bytes from here on are new
	clockless bool    // the server's clock says nothing about what was committed: it is a standby, or commits on a later timeline

	// check is the record that ends at floor, as it is here; its Start is 0 if it is not known.
	check   wal.Record
	differs bool // the server has another one there

	latest, before wal.Record // the last two records
	minimal        wal.LSN    // of the record from which on the log is not enough to recover from; latest then
	published      wal.LSN    // end of the last record that was published, or floor
	marks          []history.Mark

	clock     time.Time    // the server's, of the message before
	heard     atomic.Int64 // when the last message came, by our clock; 0 while we let the server wait
	fed       atomic.Int64 // when the last log came, by our clock
	stamp     atomic.Int64 // the server's clock, of the last message
	testimony atomic.Pointer[testimony]
	confirmed atomic.Uint64
}

// newReceiver begins at origin with what is known of the record there.
func newReceiver(f *follower, server serverState, stream *replication.Stream, q *queue, origin, prev wal.LSN) *receiver {
	r := &receiver{s: f.s, stream: stream, q: q, timeline: f.position.Timeline, floor: wal.LSN(f.position.Seq), clockless: server.clocklessOf(f.position.Timeline)}
	r.next = bookmarked{token: f.token, position: f.position}.next()
	if f.token.Last == origin && origin != 0 {
		r.check = wal.Record{Start: origin, End: r.floor, Sum: f.token.Sum}
	}
	r.published = r.floor
	r.confirmed.Store(uint64(r.floor))
	r.scanner = wal.NewScanner(origin, wal.Options{SegmentSize: f.s.segmentSize, Version: f.s.version, Prev: prev, Verify: true, Each: r.each, Event: r.event})
	return r
}

// run receives until the stream ends, and says why it did.
func (r *receiver) run() error {
	for {
		m, err := r.stream.Receive()
		if err != nil {
			return err
		}
		now := time.Now().UnixNano()
		r.heard.Store(now)
		if r.s.lead != nil {
			r.s.lead.heard.Store(now)
		}
		if err := r.take(m); err != nil {
			return err
		}
		if m.Reply {
			if err := r.confirm(false); err != nil {
				return err
			}
		}
		if err := r.pause(); err != nil {
			return err
		}
	}
}

// pause lets the server wait while too much is not shipped.
func (r *receiver) pause() error {
	if !r.q.full() {
		return nil
	}
	r.s.count(func(n *Counters) { n.Blocked++ })
	r.heard.Store(0)
	defer func() { r.heard.Store(time.Now().UnixNano()) }()
	for r.q.full() {
		select {
		case <-r.q.room:
		case <-r.done:
			return errNobody
		}
	}
	return nil
}

var errNobody = errors.New("receive log: nobody takes it")

// take reads one message.
func (r *receiver) take(m replication.Message) error {
	if len(m.Data) > 0 {
		if m.Start != r.scanner.Pos() {
			return fmt.Errorf("receive log: the server sent what begins at %s, %s was to follow", m.Start, r.scanner.Pos())
		}
		if err := r.log(m.Data); err != nil {
			return err
		}
	}
	r.s.sees(m.End)
	r.look(m)
	r.clock = m.Time
	r.stamp.Store(m.Time.UnixNano())
	return nil
}

// look says until when all that was committed is here. Before it sent log the server looked up to where that was flushed,
// and after it had sent the message before: whoever got an answer to a COMMIT by then is in what has arrived now. At rest a
// witness says so. A standby's clock says nothing about its primary's commits, nor does that of a server which has left the timeline: it may have
// committed on the next one for long.
func (r *receiver) look(m replication.Message) {
	if r.clockless {
		return
	}
	if len(m.Data) > 0 {
		r.fed.Store(time.Now().UnixNano())
		if r.scanner.Pos() >= m.End && !r.clock.IsZero() {
			r.q.knows(r.clock)
		}
	}
	if t := r.testimony.Load(); t != nil && r.scanner.Pos() >= t.end {
		r.q.knows(t.at)
		r.testimony.CompareAndSwap(t, nil)
	}
}

// log scans and queues log.
func (r *receiver) log(b []byte) error {
	if at := r.scanner.Pos(); at < r.next { // was shipped before
		n := min(len(b), int(r.next-at))
		if err := r.scan(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	for len(b) > 0 {
		at := r.scanner.Pos()
		run, free := r.q.space(at)
		n := copy(free, b)
		err := r.scan(b[:n])
		last := r.newest()
		b = b[n:]
		if err != nil { // what comes before that still counts
			n = int(max(last.End, at) - at)
		}
		r.q.publish(run, n, last, r.marks)
		r.marks = r.marks[:0]
		if err != nil {
			return err
		}
	}
	return nil
}

// newest is the last record that was not published yet and can be; its End is 0 if there is none.
func (r *receiver) newest() wal.Record {
	last := r.scanner.Last()
	last.End = r.scanner.Boundary()
	if r.minimal != 0 {
		last = r.before
	}
	if r.differs || last.End <= r.published {
		return wal.Record{}
	}
	r.published = last.End
	return last
}

// scan feeds the scanner.
func (r *receiver) scan(b []byte) error {
	err := r.scanner.Feed(b)
	switch {
	case r.differs:
		return &lostLog{reason: fmt.Sprintf("the server's record at %s is another one than was received before: it lost log, or an older copy of it was started", r.check.Start)}
	case r.minimal != 0:
		return &lostLog{reason: fmt.Sprintf("wal_level was minimal from %s on: what was written then cannot be recovered from log", r.minimal)}
	case err == nil:
		return nil
	}
	var end *wal.EndError
	if errors.As(err, &end) {
		return badLog(end, r.floor)
	}
	return fmt.Errorf("receive log: %w", err)
}

// lostLog says that a new base is needed.
type lostLog struct{ reason string }

func (e *lostLog) Error() string { return "receive log: " + e.reason }

// each sees every record.
func (r *receiver) each(rec wal.Record) {
	if rec.Start == r.check.Start && r.check.Start != 0 && (rec.End != r.check.End || rec.Sum != r.check.Sum) {
		r.differs = true
	}
	if r.minimal == 0 {
		r.before, r.latest = r.latest, rec
	}
}

// event sees the records that say when something was committed.
func (r *receiver) event(e wal.Event) {
	if e.Record.End <= r.floor || r.minimal != 0 {
		return
	}
	m := history.Mark{Position: position(r.timeline, e.Record.End), Time: e.Time}
	switch e.Kind {
	case wal.Commit:
		m.XID = uint64(e.XID)
	case wal.RestorePoint:
		m.Name = e.Name
	case wal.ParameterChange:
		if e.Level == wal.Minimal && r.minimal == 0 {
			r.minimal = e.Record.Start
		}
		return
	default:
		return
	}
	r.marks = append(r.marks, m)
}

// confirm tells the server how far everything is safe, and asks it for its clock if ask is set.
func (r *receiver) confirm(ask bool) error {
	at := wal.LSN(r.confirmed.Load())
	return r.stream.Confirm(replication.Status{Written: at, Flushed: at, Time: r.s.options.Now(), Reply: ask})
}
