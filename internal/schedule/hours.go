package schedule

import (
	"time"
)

// Hours say when jobs may begin: words without a time of day are spread over the preferred hours, and nothing
// begins by itself in the forbidden ones. What runs when they begin runs on.
type Hours struct {
	Prefer Windows // zero means 00:00-06:00
	Forbid Windows // zero means none
}

// Timing is when one job is due.
type Timing struct {
	Expr  Expr
	Hours Hours
	Key   string // spreads jobs of equal words: their source and kind; "" comes first of all
}

// Next returns the first moment after t at which the job is due, zero for never. It is a whole second, and does not move from one
// day to the next. It may lie in forbidden hours when the expression names its time of day: then it is due, and waits.
func (g Timing) Next(t time.Time) time.Time {
	if g.Expr.IsZero() {
		return time.Time{}
	}
	at := g.Expr.rule.after(t, zoneOr(g.Expr.zone, t), g.spread())
	if at.IsZero() {
		return at
	}
	return at.In(t.Location())
}

func (g Timing) spread() spread {
	s := spread{fraction: fraction(g.Key), hours: &night, forbid: &g.Hours.Forbid}
	if !g.Hours.Prefer.IsZero() {
		s.hours, s.zone = &g.Hours.Prefer, g.Hours.Prefer.zone
	}
	zone := s.zone
	if zone == nil {
		zone = g.Expr.zone
	}
	if s.forbid.IsZero() || !sameZone(s.forbid.zone, zone) {
		s.forbid = nil // hours of two zones move against each other: what falls into them waits
	}
	return s
}

func sameZone(a, b *time.Location) bool {
	return a == b || a != nil && b != nil && a.String() == b.String()
}

// night is where jobs without preferred hours are spread.
var night = allDays(piece{0, 6 * 60})

func allDays(p piece) Windows {
	var w Windows
	for d := range w.begins {
		w.begins[d] = []piece{p}
	}
	return w
}

// spread is where in its period a job comes.
type spread struct {
	fraction float64        // of the hours, in [0, 1)
	hours    *Windows       // to be spread over
	forbid   *Windows       // of the same zone, to be left out; nil for none
	zone     *time.Location // of hours; nil for that of the expression
}

// place returns the wall time in the period of so many days from the midnight start. Hours that the period does not have are left
// for any that are not forbidden: what is preferred never costs a run.
func (s spread) place(start time.Time, count int) time.Time {
	for _, hours := range []*Windows{s.hours, &wholeDay} {
		if at, ok := s.placeIn(*hours, start, count); ok {
			return at
		}
	}
	return start.Add(time.Duration(s.fraction * float64(count) * float64(24*time.Hour))).Truncate(time.Second)
}

var wholeDay = allDays(piece{0, dayMinutes})

func (s spread) placeIn(hours Windows, start time.Time, count int) (time.Time, bool) {
	total := 0
	s.each(hours, start, count, func(p piece) bool { total += p.to - p.from; return true })
	into := time.Duration(s.fraction * float64(total) * float64(time.Minute)).Truncate(time.Second)
	var at time.Time
	s.each(hours, start, count, func(p piece) bool {
		length := time.Duration(p.to-p.from) * time.Minute
		if into >= length {
			into -= length
			return true
		}
		at = start.Add(time.Duration(p.from)*time.Minute + into)
		return false
	})
	return at, total > 0
}

// each calls yield with each piece of hours that begins within the days from start and is not forbidden, in minutes
// after start, until yield returns false.
func (s spread) each(hours Windows, start time.Time, count int, yield func(piece) bool) {
	for day := range count {
		weekday := (int(start.Weekday()) + day) % 7
		for _, p := range hours.begins[weekday] {
			for _, free := range s.without(weekday, p) {
				if !yield(piece{day*dayMinutes + free.from, day*dayMinutes + free.to}) {
					return
				}
			}
		}
	}
}

// without returns p, a piece of a weekday, less what is forbidden.
func (s spread) without(weekday int, p piece) []piece {
	left := []piece{p}
	if s.forbid == nil {
		return left
	}
	for back := -1; back <= 1; back++ {
		for _, f := range s.forbid.begins[(weekday+back+7)%7] {
			left = cut(left, piece{back*dayMinutes + f.from, back*dayMinutes + f.to})
		}
	}
	return left
}

func cut(from []piece, out piece) []piece {
	var left []piece
	for _, p := range from {
		if out.from >= p.to || out.to <= p.from {
			left = append(left, p)
			continue
		}
		if p.from < out.from {
			left = append(left, piece{p.from, out.from})
		}
		if out.to < p.to {
			left = append(left, piece{out.to, p.to})
		}
	}
	return left
}

// fraction maps a key to [0, 1), evenly, and the same in every version: FNV-1a with the finalizer of SplitMix64, without
// which keys that differ in their last letter lie side by side.
func fraction(key string) float64 {
	if key == "" {
		return 0
	}
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	return float64(h>>11) / (1 << 53)
}
