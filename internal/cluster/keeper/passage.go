package keeper

import (
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

// passage is the way from one time of serving to the next, for people: how long each phase took, and what was waited for in it.
type passage struct {
	began time.Duration // when the state that left Serving was seen; zero: the cluster serves, or it was not seen
	phase cluster.Phase
	since time.Duration
	done  []string // phases that are over
	marks []string // of the present phase
}

// enter notes that a phase was seen. It returns what led to it where the cluster serves again, else "".
func (p *passage) enter(phase cluster.Phase, now time.Duration) (way string) {
	switch {
	case p.began == 0 && phase == cluster.Serving:
		return ""
	case p.began == 0:
		*p = passage{began: now, phase: phase, since: now}
		return ""
	}
	leg := fmt.Sprintf("%s %s", p.phase, short(now-p.since))
	if len(p.marks) > 0 {
		leg += " (" + strings.Join(p.marks, ", ") + ")"
	}
	p.done, p.marks = append(p.done, leg), nil
	p.phase, p.since = phase, now
	if phase != cluster.Serving {
		return ""
	}
	way = fmt.Sprintf("%s in all: %s", short(now-p.began), strings.Join(p.done, ", "))
	*p = passage{}
	return way
}

// mark notes what came in the present phase, and when.
func (p *passage) mark(what string, now time.Duration) {
	if p.began > 0 && len(p.marks) < 40 { // one that hangs is asked again and again
		p.marks = append(p.marks, fmt.Sprintf("%s after %s", what, short(now-p.since)))
	}
}

func short(d time.Duration) string { return d.Round(time.Millisecond).String() }
