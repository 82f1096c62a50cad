package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/disk"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// Status is engine.Source's.
func (s *Source) Status() engine.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	if st.HeldBytes > 0 && s.logDir != "" {
		st.HeldRoom, _ = disk.Free(s.logDir) // zero where it can't be seen
	}
	return st
}

// sees notes where the server's log ends, at a time of our clock.
func (s *Source) sees(end wal.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = max(s.end, end)
	s.measure()
}

// shippedTo notes how far everything is safe.
func (s *Source) shippedTo(to history.Position, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Position, s.status.Time = to, until
	s.shipped = wal.LSN(to.Seq)
	s.measure()
}

// measure recomputes what is behind; s.mu is held. What was not shipped is what the slot holds back.
func (s *Source) measure() {
	if s.end <= s.shipped {
		s.status.Behind, s.status.HeldBytes, s.status.Since = 0, 0, time.Time{}
		s.status.Text = ""
		return
	}
	n := int64(s.end - s.shipped)
	if s.status.Since.IsZero() {
		s.status.Since = s.options.Now()
	}
	s.status.Behind, s.status.HeldBytes, s.status.Text = n, n, ""
	if n > noteworthy {
		s.status.Text = fmt.Sprintf("the server keeps %d MB of log for slot %s until it is safe here", n>>20, s.slot)
	}
}

// noteworthy is how much log a slot may hold back before people are told.
const noteworthy = 256 << 20

// enter begins a Follow: positions of an earlier one do not count.
func (s *Source) enter(from history.Position, end wal.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Position, s.status.LastError, s.status.LastErrorT = from, nil, time.Time{}
	s.shipped, s.end = wal.LSN(from.Seq), end
	s.measure()
}

// fault notes an error for Status.
func (s *Source) fault(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.LastError, s.status.LastErrorT = err, s.options.Now()
}
