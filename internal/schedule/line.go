package schedule

import (
	"container/heap"
	"time"
)

// line is where each job stands: asleep until a time, ready until a place is free, parked until another job ended, or in none,
// when it runs or only an event can change what is decided about it.
type line struct {
	asleep  queue             // by when to look again
	classes map[string]*class // those that are ready
	parked  map[ID][]*entry   // by the job that they wait for; some may have gone elsewhere since
}

type class struct {
	ready queue // by since when they are due
	busy  int   // of this class are running
}

func (l *line) class(name string) *class {
	c := l.classes[name]
	if c == nil {
		if l.classes == nil {
			l.classes = map[string]*class{}
		}
		c = &class{}
		l.classes[name] = c
	}
	return c
}

func (l *line) remove(e *entry) {
	if e.in != nil {
		heap.Remove(e.in, e.at)
	}
	e.in, e.on = nil, ID{}
}

func (l *line) sleep(e *entry, until time.Time) { l.put(e, &l.asleep, until) }

func (l *line) ready(e *entry, since time.Time) { l.put(e, &l.class(e.job.Class).ready, since) }

func (l *line) put(e *entry, q *queue, at time.Time) {
	l.remove(e)
	e.wake, e.in = at, q
	heap.Push(q, e)
}

// park has e looked at when the job on ends. That on has a time to begin changes nothing: then it is due, and e waits for it still.
func (l *line) park(e *entry, on ID) {
	l.remove(e)
	if l.parked == nil {
		l.parked = map[ID][]*entry{}
	}
	e.on = on
	l.parked[on] = append(l.parked[on], e)
}

// unpark returns those that waited for a job, and forgets that they did.
func (l *line) unpark(on ID) []*entry {
	var still []*entry
	for _, e := range l.parked[on] {
		if e.on == on {
			e.on = ID{}
			still = append(still, e)
		}
	}
	delete(l.parked, on)
	return still
}

// look gives each that is asleep and whose time has come to place, which puts it elsewhere.
func (l *line) look(now time.Time, place func(*entry)) {
	for len(l.asleep) > 0 && !l.asleep[0].wake.After(now) {
		e := l.asleep[0]
		l.remove(e)
		place(e)
	}
}

// first returns the one that is due for longest among those whose class has a place, nil when there is none. It stays ready.
func (l *line) first(bounds Bounds) *entry {
	var best *entry
	for name, c := range l.classes {
		if bound := bounds.Class[name]; len(c.ready) == 0 || bound > 0 && c.busy >= bound {
			continue
		}
		if e := c.ready[0]; best == nil || e.before(best) {
			best = e
		}
	}
	return best
}

func (l *line) busy(name string, more int) { l.class(name).busy += more }

// wait is how long nobody has to be looked at, at most so long.
func (l *line) wait(now time.Time, most time.Duration) time.Duration {
	if len(l.asleep) == 0 {
		return most
	}
	return max(0, min(most, l.asleep[0].wake.Sub(now)))
}
