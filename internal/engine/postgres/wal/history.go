package wal

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// History is what a history file says: by which timelines the server came to Timeline.
type History struct {
	Timeline uint32
	Switches []Switch // in order; the last one led to Timeline
}

// Switch is where one timeline was left.
type Switch struct {
	Timeline uint32
	At       LSN
	Reason   string
}

// ParseHistory reads the history file of a timeline, as the server does: lines of number, position and reason;
// what begins with # is a comment.
func ParseHistory(timeline uint32, b []byte) (History, error) {
	h := History{Timeline: timeline}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseSwitch(line)
		if err != nil {
			return History{}, fmt.Errorf("parse history of timeline %d: line %d: %w", timeline, n, err)
		}
		if last := len(h.Switches) - 1; last >= 0 && (s.Timeline <= h.Switches[last].Timeline || s.At < h.Switches[last].At) {
			return History{}, fmt.Errorf("parse history of timeline %d: line %d: timeline %d at %s does not come after %d at %s",
				timeline, n, s.Timeline, s.At, h.Switches[last].Timeline, h.Switches[last].At)
		}
		if s.Timeline >= timeline {
			return History{}, fmt.Errorf("parse history of timeline %d: line %d: timeline %d cannot have led to it", timeline, n, s.Timeline)
		}
		h.Switches = append(h.Switches, s)
	}
	if err := lines.Err(); err != nil {
		return History{}, fmt.Errorf("parse history of timeline %d: %w", timeline, err)
	}
	return h, nil
}

func parseSwitch(line string) (Switch, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return Switch{}, fmt.Errorf("want a timeline and a log position")
	}
	t, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil || t == 0 {
		return Switch{}, fmt.Errorf("timeline %q is not a number", fields[0])
	}
	at, err := ParseLSN(fields[1])
	if err != nil {
		return Switch{}, err
	}
	return Switch{Timeline: uint32(t), At: at, Reason: strings.Join(fields[2:], " ")}, nil
}

// Format writes the history file, as the server does.
func (h History) Format() []byte {
	var b bytes.Buffer
	for i, s := range h.Switches {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%d\t%s\t%s\n", s.Timeline, s.At, s.Reason)
	}
	return b.Bytes()
}

// Left says where timeline t was left on the way to h.Timeline, and for which one. ok is false if the way does not
// lead over t, or ends there.
func (h History) Left(t uint32) (at LSN, next uint32, ok bool) {
	for i, s := range h.Switches {
		if s.Timeline != t {
			continue
		}
		if i+1 < len(h.Switches) {
			return s.At, h.Switches[i+1].Timeline, true
		}
		return s.At, h.Timeline, true
	}
	return 0, 0, false
}

// Holds says on which timeline the byte at l lies, on the way to h.Timeline.
func (h History) Holds(l LSN) uint32 {
	for _, s := range h.Switches {
		if l < s.At {
			return s.Timeline
		}
	}
	return h.Timeline
}
