package postgres

import (
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// Sizes of what is between the server and ship.
const (
	runSize   = 1 << 20  // of one stretch of log in memory
	queueSize = 32 << 20 // from here on the server has to wait
	partSize  = 16 << 20 // a record that is longer is shipped in parts
	batchSize = 16 << 20 // about as much is shipped at once
	freeRuns  = 2        // so many runs are kept by a stream that rests
)

// run is a stretch of one log file. Its bytes are written once; those behind what was published are the receiver's.
type run struct {
	start wal.LSN
	limit wal.LSN // where it has to end: it is full, or its file ends
	buf   []byte
	taken int        // bytes that were shipped
	last  wal.Record // the last record that ends in it, behind what was shipped before; its End is 0 if none does
}

func (r *run) end() wal.LSN { return r.start + wal.LSN(len(r.buf)) }
func (r *run) at() wal.LSN  { return r.start + wal.LSN(r.taken) }

// queue is what has been received and not shipped yet. One goroutine adds, another takes.
type queue struct {
	segmentSize uint64
	wake        chan struct{} // for the one that takes; holds one token
	room        chan struct{} // for the one that adds; holds one token

	mu       sync.Mutex
	runs     []*run
	free     []*run
	size     int            // bytes that are not shipped, those that are being shipped included
	waiting  int            // of these, those that are not being shipped
	boundary wal.LSN        // up to where whole records can be shipped
	marks    []history.Mark // of the records up to boundary
	whole    time.Time      // all that was committed until then ends at or before boundary; zero if that is not known
	err      error          // why nothing follows
	ended    bool
}

func newQueue(segmentSize uint64) *queue {
	return &queue{segmentSize: segmentSize, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// space gives the run that the byte at a position belongs to, and where in memory it and those after it go.
func (q *queue) space(at wal.LSN) (*run, []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.runs); n > 0 {
		if r := q.runs[n-1]; r.end() == at && at < r.limit {
			return r, r.buf[len(r.buf):int(r.limit-r.start)]
		}
	}
	r := &run{}
	if n := len(q.free); n > 0 {
		r, q.free = q.free[n-1], q.free[:n-1]
	} else {
		r.buf = make([]byte, 0, runSize)
	}
	fileEnd := at.SegmentStart(q.segmentSize) + wal.LSN(q.segmentSize)
	*r = run{start: at, limit: min(at+runSize, fileEnd), buf: r.buf[:0]}
	q.runs = append(q.runs, r)
	return r, r.buf[:int(r.limit-at)]
}

// publish makes n bytes that were written behind r visible, with the last record that ends in them, if any does, and
// the marks of all that do.
func (q *queue) publish(r *run, n int, last wal.Record, marks []history.Mark) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r.buf = r.buf[:len(r.buf)+n]
	q.size += n
	q.waiting += n
	if last.End > 0 {
		r.last, q.boundary = last, last.End
		q.marks = append(q.marks, marks...)
		signal(q.wake)
	} else if q.waiting >= partSize {
		signal(q.wake)
	}
}

// knows notes up to when the log received so far is whole.
func (q *queue) knows(t time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !t.After(q.whole) {
		return
	}
	q.whole = t
	if n := len(q.free); n > freeRuns { // a burst is over: what it took is given back, a little with each moment of rest
		q.free[n-1] = nil
		q.free = q.free[:n-1]
	}
	signal(q.wake)
}

// full reports whether the server has to wait.
func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size >= queueSize
}

// end says that nothing follows, and why.
func (q *queue) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err, q.ended = err, true
	signal(q.wake)
}

// parcel is a part of a run that becomes one piece: it moves to the end of a record, or it does not move because it
// ends inside of one.
type parcel struct {
	start wal.LSN
	data  []byte
	moves bool
	last  wal.Record
	marks []history.Mark
}

// take gives what can be shipped, about batchSize at most: what ends with a record, and long records in parts. If that
// is all there is, it also gives up to when the log is whole with it, and whether nothing follows, and why.
func (q *queue) take() (list []parcel, whole time.Time, ended bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	parts := q.waiting >= partSize && (len(q.runs) == 0 || q.boundary <= q.runs[0].at())
	bytes := 0
	for _, r := range q.runs {
		if r.last.End > r.at() {
			p := q.cut(r, r.last.End)
			p.moves, p.last, p.marks = true, r.last, q.marksUpTo(r.last.End)
			list, bytes = append(list, p), bytes+len(p.data)
			if bytes >= batchSize {
				break
			}
		}
		// What is left of it belongs to a record that ends in a later run.
		if r.end() == r.limit && r.at() < r.limit && (parts || r.at() < q.boundary) {
			p := q.cut(r, r.limit)
			list, bytes = append(list, p), bytes+len(p.data)
		}
	}
	q.waiting -= bytes
	for _, r := range q.runs {
		if r.last.End > r.at() {
			return list, time.Time{}, false, nil // there is more already
		}
	}
	return list, q.whole, q.ended, q.err
}

func (q *queue) cut(r *run, to wal.LSN) parcel {
	p := parcel{start: r.at(), data: r.buf[r.taken:int(to-r.start)]}
	r.taken = int(to - r.start)
	return p
}

func (q *queue) marksUpTo(to wal.LSN) []history.Mark {
	n := 0
	for n < len(q.marks) && q.marks[n].Position.Seq <= uint64(to) {
		n++
	}
	marks := q.marks[:n:n]
	q.marks = q.marks[n:]
	return marks
}

// release says that what was taken is no longer used.
func (q *queue) release(list []parcel) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range list {
		q.size -= len(p.data)
	}
	for len(q.runs) > 0 && q.runs[0].at() == q.runs[0].limit {
		r := q.runs[0]
		q.runs[0] = nil // or the array below would keep it
		q.runs = q.runs[1:]
		if len(q.free) < queueSize/runSize {
			q.free = append(q.free, r)
		}
	}
	signal(q.room)
}
