package sim

import "time"

// event is something that happens to a process, if it is then up and still in that life; a negative life means any.
type event struct {
	proc *proc
	life int
	run  func()
}

// queue orders events by time, and those of one time by when they were put in. The heap holds no pointers, so that moving its
// entries costs the collector nothing: half of the simulation's time went there.
type queue struct {
	heap  []slot
	seq   uint32
	held  []event
	spare []int32
}

type slot struct {
	at   time.Duration
	seq  uint32
	held int32
}

func (s slot) before(t slot) bool { return s.at < t.at || s.at == t.at && int32(s.seq-t.seq) < 0 }

func (q *queue) next() (time.Duration, bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].at, true
}

func (q *queue) push(at time.Duration, e event) {
	n := int32(len(q.held))
	if last := len(q.spare) - 1; last >= 0 {
		n, q.spare = q.spare[last], q.spare[:last]
		q.held[n] = e
	} else {
		q.held = append(q.held, e)
	}
	q.seq++
	q.heap = append(q.heap, slot{at, q.seq, n})
	for i := len(q.heap) - 1; i > 0; {
		up := (i - 1) / 4
		if !q.heap[i].before(q.heap[up]) {
			break
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

func (q *queue) pop() event {
	n, last := q.heap[0].held, len(q.heap)-1
	e := q.held[n]
	q.held[n] = event{}
	q.spare = append(q.spare, n)
	x := q.heap[last]
	q.heap = q.heap[:last]
	if last > 0 {
		q.sink(x)
	}
	return e
}

// sink puts x in at the top and lets it down to its place.
func (q *queue) sink(x slot) {
	h, i := q.heap, 0
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h)); c++ {
			if h[c].before(h[least]) {
				least = c
			}
		}
		if !h[least].before(x) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = x
}
