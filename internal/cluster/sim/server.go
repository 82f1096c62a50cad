package sim

import (
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"time"
)

// entry is one record of the log. Its id is never given out twice, so two logs agree up to an entry when it is the same in both.
type entry struct {
	id       int
	timeline uint32
}

// server replicates as PostgreSQL does: a primary streams to whoever connects with a log that is a beginning of its own; a commit
// waits until K of the names it counts have flushed it. The log outlives a crash.
type server struct {
	proc
	w         *World
	number    int
	running   bool
	primary   bool
	rising    bool // it was told to become primary, which can't be taken back
	epoch     uint64
	timeline  uint32
	log       []entry
	counting  cluster.Quorum
	switched  history.Position
	waiting   []commit
	streams   []stream // by number of the standby
	following int      // number of the primary, or -1
	dial      int      // counts connections to a primary: what belongs to an earlier one is not taken
	heard     time.Duration
	stalled   bool          // the disk takes nothing
	stallsAt  time.Duration // local
	short     time.Duration // local: since when fewer stream than it counts; Never: enough do
	blank     bool
	whole     int // blank until the log is so long again
}

type commit struct {
	index int // the log's length with it
	id    int
	done  func()
}

type stream struct {
	on      bool
	dial    int
	sent    int
	flushed int
	heard   time.Duration // local of the primary
}

func (s *server) end() history.Position {
	if len(s.log) == 0 {
		return history.Position{}
	}
	return history.At(s.log[len(s.log)-1].timeline, uint64(len(s.log)))
}

func (s *server) position(n int) history.Position {
	if n <= 0 || n > len(s.log) {
		return history.Position{}
	}
	return history.At(s.log[n-1].timeline, uint64(n))
}

// crash stops the server; what waits is never answered.
func (s *server) halt() {
	s.running, s.primary, s.rising = false, false, false
	s.waiting = nil
	s.detach()
	for i := range s.streams {
		s.streams[i].on = false
	}
	s.life++
}

func (s *server) detach() {
	s.following = -1
	s.dial++
}

func (s *server) start() {
	s.running, s.primary, s.rising = true, false, false
	s.life++
}

func (s *server) lead(epoch uint64, timeline uint32, q cluster.Quorum) {
	s.detach()
	s.primary, s.rising, s.epoch, s.timeline = true, false, epoch, timeline
	s.log = append(s.log, entry{s.w.ledger.id(len(s.log)), timeline})
	s.count(q)
	s.keepalive()
}

func (s *server) count(q cluster.Quorum) {
	s.counting, s.switched = q, s.end()
	s.measure()
	s.release()
}

// write appends a record and calls done when it may be acknowledged.
func (s *server) write(id int, done func()) {
	if !s.running || !s.primary || s.stalled {
		return
	}
	s.log = append(s.log, entry{id, s.timeline})
	s.w.ledger.place[id] = len(s.log) - 1
	s.waiting = append(s.waiting, commit{len(s.log), id, done})
	for i := range s.streams {
		s.push(i)
	}
	s.release()
}

// release acknowledges what K of the counted names have.
func (s *server) release() {
	for len(s.waiting) > 0 {
		c, n := s.waiting[0], 0
		for _, name := range s.counting.Names {
			if st := &s.streams[s.w.number(name)]; st.on && st.flushed >= c.index {
				n++
			}
		}
		if n < s.counting.K {
			return
		}
		s.waiting = s.waiting[1:]
		s.w.ledger.released(s, c)
		c.done()
	}
}

// keepalive tells every standby that the primary lives, several times a second, as a walsender does.
func (s *server) keepalive() {
	if !s.running || !s.primary {
		return
	}
	for i := range s.streams {
		if s.streams[i].on {
			s.ping(i)
		}
	}
	s.measure()
	s.w.repository.ship(s)
	s.w.after(150*ms, &s.proc, s.keepalive)
}

// measure notes since when too few standbys stream.
func (s *server) measure() {
	n := 0
	for i := range s.streams {
		if s.streams[i].on && s.w.local(s.host)-s.streams[i].heard < 600*ms {
			n++
		}
	}
	switch {
	case n >= s.w.cfg.Sync:
		s.short = cluster.Never
	case s.short == cluster.Never:
		s.short = s.w.local(s.host)
	}
}

func (s *server) ping(i int) {
	to, dial := s.w.agents[i].server, s.streams[i].dial
	s.w.send(&s.proc, &to.proc, func() {
		if to.following == s.number && to.dial == dial {
			to.heard = s.w.local(to.host)
			s.w.send(&to.proc, &s.proc, func() { s.flushed(i, dial, 0) })
		}
	})
}

func (s *server) push(i int) {
	st := &s.streams[i]
	if !st.on || st.sent == len(s.log) {
		return
	}
	to, from, dial := s.w.agents[i].server, st.sent, st.dial
	more := s.log[from:len(s.log):len(s.log)]
	st.sent = len(s.log)
	s.w.send(&s.proc, &to.proc, func() { to.receive(s, dial, from, more) })
}

func (s *server) receive(from *server, dial, at int, more []entry) {
	if !s.running || s.following != from.number && !s.w.has("attached") || s.dial != dial && !s.w.has("attached") || s.stalled || s.primary {
		return
	}
	if len(s.log) != at {
		if s.following == from.number {
			s.detach()
			s.following = from.number // a hole: connect again
		}
		return
	}
	s.log = append(s.log, more...)
	s.heard = s.w.local(s.host)
	if s.blank && len(s.log) >= s.whole {
		s.blank = false
	}
	have := len(s.log)
	s.w.send(&s.proc, &from.proc, func() { from.flushed(s.number, dial, have) })
}

func (s *server) flushed(i, dial, have int) {
	st := &s.streams[i]
	if !s.running || !s.primary || !st.on || st.dial != dial {
		return
	}
	st.flushed, st.heard = max(st.flushed, have), s.w.local(s.host)
	s.release()
}

// connect asks the primary for its log from the end of the own one on. Where the histories part the member is rewound to the fork first.
func (s *server) connect() {
	if !s.running || s.primary || s.following < 0 {
		return
	}
	to := s.w.agents[s.following].server
	s.dial++
	dial, have := s.dial, s.log
	s.w.send(&s.proc, &to.proc, func() {
		if !to.running || !to.primary {
			return
		}
		fork := common(have, to.log)
		to.streams[s.number] = stream{on: fork == len(have), dial: dial, sent: len(have), flushed: len(have), heard: to.w.local(to.host)}
		whole := len(to.log)
		s.w.answer(&to.proc, &s.proc, s.life, func() {
			if s.dial != dial || s.following != to.number {
				return
			}
			s.heard = s.w.local(s.host)
			if s.blank && s.whole == 0 {
				s.whole = max(whole, 1)
			}
			if fork < len(have) {
				s.log = s.log[:fork:fork]
				s.connect()
			}
		})
		to.push(s.number)
		to.release()
	})
}

// common is the length of the common beginning of two logs.
func common(a, b []entry) int {
	n := min(len(a), len(b))
	if n == 0 || a[n-1] == b[n-1] {
		return n
	}
	low, high := 0, n-1 // logs that agree at an entry agree before it
	for low < high {
		mid := (low + high) / 2
		if a[mid] == b[mid] {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}
