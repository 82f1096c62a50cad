package sim

import (
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// repository has what continuous protection shipped of each primary's log, a little late, and is out of reach at times. It draws nothing: half of
// the seeds have one, and the others' histories are as if there were none.
type repository struct {
	w    *World
	logs map[uint32][]entry // by timeline, each from its beginning
}

func (r *repository) there() bool { return r.w.opt.Seed%2 == 0 && r.w.now/(7*time.Second)%3 > 0 }

// ship takes over what a primary has. Who is overtaken ships on, on its own timeline.
func (r *repository) ship(s *server) {
	if !r.there() || s.stalled || len(s.log) == 0 {
		return
	}
	timeline := s.log[len(s.log)-1].timeline
	if have := r.logs[timeline]; common(have, s.log) == len(have) {
		r.logs[timeline] = s.log[:len(s.log):len(s.log)]
	}
}

// newest is the end of a timeline's log, as keepers are told.
func (r *repository) newest(timeline uint32) history.Position {
	if log := r.logs[timeline]; len(log) > 0 && r.w.opt.Seed%2 == 0 {
		return history.At(timeline, uint64(len(log)))
	}
	return history.Position{}
}

// fetch gives a candidate the rest of the log that its own is a beginning of.
func (a *agent) fetch(epoch uint64) {
	a.w.after(20*ms, &a.proc, func() {
		s := a.server
		if a.oath.Promised != epoch || !s.up || s.stalled || s.primary || !a.w.repository.there() {
			return
		}
		if log := a.w.repository.logs[s.end().Timeline]; len(log) > len(s.log) && common(s.log, log) == len(s.log) {
			a.w.tell("%s fetches %d entries from the repository", a.name, len(log)-len(s.log))
			a.w.stats.Fetched += len(log) - len(s.log)
			s.log = log[:len(log):len(log)]
		}
	})
}
