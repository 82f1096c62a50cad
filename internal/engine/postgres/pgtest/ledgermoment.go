package pgtest

import (
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// Moment is a recovery target, and how far each writer must, and may, have come there.
type Moment struct {
	Target      string  // as a person types it: "lsn:0/16B3748"
	Least, Most []int64 // by writer
}

// The kinds of moments.
const (
	ByLSN       = "lsn"
	ByTime      = "time"
	ByXID       = "xid"
	BeforeXID   = "before-xid"
	ByName      = "name"   // of a ledger with Points
	Latest      = "latest" // all that was answered, and what was not if it is there
	pastOfStamp = 2 * time.Millisecond
)

// Kinds are those that name an entry of any ledger.
var Kinds = []string{ByLSN, ByTime, ByXID, BeforeXID}

// point is the name of the restore point behind an entry. It comes again where the connection broke before the server's
// answer was here: the newest counts.
func (e Entry) point() string { return fmt.Sprintf("%d-%d", e.Writer, e.N) }

// Moment gives the moment of an entry that was answered.
func (l *Ledger) Moment(kind string, e Entry) Moment {
	m := Moment{Target: fmt.Sprintf("%s:%d", kind, e.XID)}
	switch kind {
	case ByLSN:
		return l.AtLSN(e.After)
	case ByTime:
		return l.AtTime(e.Answered)
	case ByName:
		m = l.AtLSN(e.Point)
		m.Target = "name:" + e.point()
		return m
	case Latest:
		return l.Now()
	}
	// Other writers: whose commit ended before this one's began is in, whose began after it ended is not.
	m.Least = l.count(func(o Entry) bool { return o.Acked && o.After != 0 && o.After <= e.Before })
	m.Most = l.count(func(o Entry) bool { return o.Before < e.After })
	m.Least[e.Writer], m.Most[e.Writer] = e.N, e.N
	if kind == BeforeXID {
		m.Least[e.Writer], m.Most[e.Writer] = e.N-1, e.N-1
	}
	return m
}

// AtLSN is the moment of a position.
func (l *Ledger) AtLSN(at wal.LSN) Moment {
	return Moment{
		Target: "lsn:" + at.String(),
		Least:  l.count(func(e Entry) bool { return e.Acked && e.After != 0 && e.After <= at }),
		Most:   l.count(func(e Entry) bool { return e.Before < at }),
	}
}

// AtTime is the moment of a time: what was answered by then is in. What was stamped by then and not answered may be: between its stamp
// and its record the log may be said to be whole. Among several writers, commits are stamped in nearly the order in which they are logged.
func (l *Ledger) AtTime(at time.Time) Moment {
	about := pastOfStamp
	if len(l.writers) == 1 {
		about = 0
	}
	return Moment{
		Target: at.UTC().Format(time.RFC3339Nano),
		Least:  l.count(func(e Entry) bool { return e.Acked && !e.Stamp.IsZero() && !e.Answered.After(at) }),
		Most:   l.count(func(e Entry) bool { return !e.Stamp.After(at.Add(about)) }),
	}
}

// Since is the newest moment, of which only what was answered by a time is sure to be there.
func (l *Ledger) Since(at time.Time) Moment {
	m := l.Now()
	m.Least = l.count(func(e Entry) bool { return e.Acked && !e.Answered.After(at) })
	return m
}

// Now is the moment of all that there is.
func (l *Ledger) Now() Moment {
	return Moment{
		Target: Latest,
		Least:  l.acked(),
		Most:   l.count(func(Entry) bool { return true }),
	}
}

// count is by writer the number of the last entry for which in holds.
func (l *Ledger) count(in func(Entry) bool) []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]int64, len(l.writers))
	for i, w := range l.writers {
		for _, e := range w.entries {
			if in(e) {
				all[i] = e.N
			}
		}
	}
	return all
}
