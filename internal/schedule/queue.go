package schedule

import "time"

// queued is where an entry stands in a line.
type queued struct {
	in    *queue    // nil when in none
	at    int       // index in it
	wake  time.Time // what it is ordered by
	order int       // among equals: as the jobs were given
	on    ID        // what it is parked for; zero when it is not
}

func (q *queued) before(o *entry) bool {
	if !q.wake.Equal(o.wake) {
		return q.wake.Before(o.wake)
	}
	return q.order < o.order
}

// queue is a heap of entries, the earliest first, for container/heap.
type queue []*entry

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool { return q[i].before(q[j]) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

func (q *queue) Push(x any) {
	e := x.(*entry)
	e.at = len(*q)
	*q = append(*q, e)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
