package router

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// Seen is what is known of one member.
type Seen struct {
	Name     string
	Address  string
	Priority int           // where nothing says who is primary, the highest that answers is taken
	Asked    time.Duration // when the question was asked that its newest answer belongs to; Never before the first
	Sight    engine.Sight
	Err      string // why the newest question had no answer; "" if it had one
}

// Never is the moment of what did not happen.
const Never = time.Duration(-1 << 60)

// Choice is the member that clients are led to, and why.
type Choice struct {
	Primary  string // "" if there is none
	Timeline uint32 // that it had when it was chosen
	SystemID string // of the cluster, from the first primary on
	Reason   string
}

// choose says who is primary, given who was, what the members say, and what the proxies heard last of the one that was. It
// decides nothing that the members do not say: somebody else promotes.
//
//   - A member that says that it is primary is followed, on the newest timeline that any member knows. One on an older timeline is an
//     old primary that came back.
//   - A primary that is silent is kept for as long as proxies hear it, and for after.
//   - Where several say so and nothing tells which is right, the one that was stays; a new one is not guessed.
func choose(was Choice, seen []Seen, heard, now, after time.Duration) Choice {
	next := was
	var say []*Seen
	newest := was.Timeline
	for i := range seen {
		s := &seen[i]
		if !fresh(s, now, after) || was.SystemID != "" && s.Sight.SystemID != was.SystemID {
			continue
		}
		newest = max(newest, s.Sight.Position.Timeline)
		if s.Sight.Role != engine.RoleReplica {
			say = append(say, s)
		}
	}
	say = slices.DeleteFunc(say, func(s *Seen) bool { return s.Sight.Position.Timeline < newest })
	old := find(seen, was.Primary)
	switch i := slices.IndexFunc(say, func(s *Seen) bool { return s.Name == was.Primary }); {
	case i >= 0:
		next.Reason = was.Primary + " is primary"
	case len(say) > 0 && say[0].Sight.Role == engine.RoleAny:
		best := slices.MaxFunc(say, func(a, b *Seen) int { return cmp.Compare(a.Priority, b.Priority) })
		if was.Primary != "" && silentFor(old, heard, now) < after {
			return keep(was, old)
		}
		next.Primary, next.Reason = best.Name, best.Name+" is the first that answers"
	case len(say) > 1:
		next.Primary, next.Reason = "", fmt.Sprintf("%s say each that they are primary", names(say))
	case len(say) == 1:
		next.Primary, next.Reason = say[0].Name, say[0].Name+" says that it is primary"
	case was.Primary == "":
		next.Reason = "no member says that it is primary"
	case old != nil && old.Err == "" && fresh(old, now, after):
		next.Primary, next.Reason = "", fmt.Sprintf("%s says that it is primary no more%s", was.Primary, behind(old, newest))
	case silentFor(old, heard, now) < after:
		return keep(was, old)
	default:
		next.Primary, next.Reason = "", fmt.Sprintf("%s was silent for %s, and no other member says that it is primary", was.Primary, short(silentFor(old, heard, now)))
	}
	if p := find(seen, next.Primary); p != nil {
		next.Timeline, next.SystemID = p.Sight.Position.Timeline, p.Sight.SystemID
		if next.Primary == was.Primary && was.Timeline > next.Timeline {
			next.Timeline = was.Timeline
		}
	}
	return next
}

func behind(old *Seen, newest uint32) string {
	if old.Sight.Role == engine.RolePrimary && old.Sight.Position.Timeline < newest {
		return fmt.Sprintf(": it is on timeline %d, and another member on %d", old.Sight.Position.Timeline, newest)
	}
	return ""
}

// keep goes on with a primary that may only be slow.
func keep(was Choice, old *Seen) Choice {
	was.Reason = was.Primary + " is primary"
	if old != nil && old.Err != "" {
		was.Reason += ", though it did not answer: " + old.Err
	}
	return was
}

func fresh(s *Seen, now, after time.Duration) bool { return s.Asked != Never && now-s.Asked < after }

func silentFor(s *Seen, heard, now time.Duration) time.Duration {
	if s == nil {
		return now - heard
	}
	return now - max(s.Asked, heard)
}

func find(seen []Seen, name string) *Seen {
	if i := slices.IndexFunc(seen, func(s Seen) bool { return s.Name == name }); name != "" && i >= 0 {
		return &seen[i]
	}
	return nil
}

func names(say []*Seen) string {
	all := make([]string, len(say))
	for i, s := range say {
		all[i] = s.Name
	}
	slices.Sort(all)
	return strings.Join(all, " and ")
}

func short(d time.Duration) string { return d.Round(time.Millisecond).String() }

// course is where the primary's log ended at some moments: from it follows how old the data of a replica is, whatever the
// replica's clock says and whether or not it hears of the primary.
type course struct{ marks []mark }

type mark struct {
	at   time.Duration
	seen history.Position
}

// marks at most; with one each 250 ms they reach back for more than two minutes.
const marks = 600

// note adds where the primary was at a moment.
func (c *course) note(at time.Duration, p history.Position) {
	if n := len(c.marks); n > 0 {
		switch last := &c.marks[n-1]; {
		case p.Timeline != last.seen.Timeline || p.Seq < last.seen.Seq:
			c.marks = nil // another history
		case p.Seq == last.seen.Seq:
			last.at = at // it still stands there
			return
		}
	}
	c.marks = append(c.marks, mark{at, p})
	if len(c.marks) > marks {
		c.marks = c.marks[len(c.marks)-marks:]
	}
}

// lag is how old the data is of a replica that has replayed up to seq, and how many bytes it lacks; false: nobody knows.
func (c *course) lag(seq uint64) (age time.Duration, bytes uint64, ok bool) {
	if len(c.marks) == 0 {
		return 0, 0, false
	}
	last := c.marks[len(c.marks)-1]
	if seq >= last.seen.Seq {
		return 0, 0, true
	}
	bytes = last.seen.Seq - seq
	for i := len(c.marks) - 1; i >= 0; i-- {
		if c.marks[i].seen.Seq <= seq {
			return last.at - c.marks[i].at, bytes, true
		}
	}
	return 0, bytes, false
}
