package history

import (
	"fmt"
	"strings"
	"time"
)

// UnreachableError says that no window holds the target, and which reachable points are nearest.
type UnreachableError struct {
	Source string
	Target Target
	Before *Moment // the nearest reachable point before the target; nil when there is none
	After  *Moment // the nearest reachable point after it; nil when there is none
	Reason string  // of the gap the target lies in, if it is known

	Timeline uint32 // the timeline that the target names, if nothing at all is known of it; else zero
}

func (e *UnreachableError) Error() string {
	msg := fmt.Sprintf("recover %s to %s: not in any recovery window", e.Source, e.Target)
	if e.Reason != "" {
		msg += " (" + e.Reason + ")"
	}
	return msg
}

// Hint names the nearest reachable points.
func (e *UnreachableError) Hint() string {
	var near []string
	if e.Before != nil {
		near = append(near, fmt.Sprintf("before it: %s (position %s)", e.Before.Time.Format(time.RFC3339Nano), e.Before.Position.Plain()))
	}
	if e.After != nil {
		near = append(near, fmt.Sprintf("after it: %s (position %s)", e.After.Time.Format(time.RFC3339Nano), e.After.Position.Plain()))
	}
	switch {
	case len(near) == 0 && e.Timeline != 0:
		return fmt.Sprintf("nothing is known of timeline %d; history lists the windows that there are", e.Timeline)
	case len(near) == 0:
		return "nothing can be recovered yet: no base backup is complete"
	}
	return "the nearest reachable points are " + strings.Join(near, "; ")
}

// GapError says that the log cannot go on from From: the source no longer has what follows it. Whoever follows the
// source records the gap and takes a new base.
type GapError struct {
	From   Position
	Reason string
}

func (e *GapError) Error() string { return fmt.Sprintf("follow log from %s: %s", e.From, e.Reason) }
