package sim

import (
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

// store is the coordination: a state and its revision, on a majority of the voters. It is away while no voter reaches a majority,
// and for an election after its leader was lost.
type store struct {
	state    cluster.State
	revision uint64
	leader   int
	back     time.Duration // when the election is over
	away     bool          // all of it is down
	voters   int
}

// leading is the voter that leads now, or -1.
func (w *World) leading() int {
	s := &w.store
	if s.away {
		return -1
	}
	if s.leader >= 0 && w.majority(s.leader) {
		if w.now < s.back {
			return -1
		}
		return s.leader
	}
	for v := range s.voters {
		if w.majority(v) {
			s.leader, s.back = v, w.now+300*ms+time.Duration(w.rng.IntN(300))*ms
			return -1
		}
	}
	return -1
}

func (w *World) majority(voter int) bool {
	if !w.keepers[voter].up || w.keepers[voter].frozen > w.now {
		return false
	}
	n := 0
	for v := range w.store.voters {
		if w.keepers[v].up && w.keepers[v].frozen <= w.now && (v == voter || !w.cut[v][voter] && !w.cut[voter][v]) {
			n++
		}
	}
	return n > w.store.voters/2
}

// swap applies change on the leader, atomically, and answers with the state as it is then and whether it was changed. The question
// may be lost, or come late; so may the answer, after the change was made.
func (w *World) swap(from *proc, change func(s cluster.State, revision uint64) (cluster.State, bool), done func(s cluster.State, revision uint64, changed bool)) {
	life := from.life
	there := w.leading()
	if there < 0 || w.deaf[from.host] || w.cut[from.host][there] && from.host != there || w.lossy > 0 && w.rng.Float64() < w.lossy {
		return
	}
	w.at(w.now+w.delay(), nil, 0, func() {
		leader := w.leading()
		if leader < 0 {
			return
		}
		next, changed := change(w.store.state, w.store.revision)
		if changed {
			w.store.state = next
			w.store.revision++
		}
		state, revision := w.store.state, w.store.revision
		w.answer(&w.keepers[leader].proc, from, life, func() { done(state, revision, changed) })
	})
}
