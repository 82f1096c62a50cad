package history

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Position is a place in the log of one source.
//
// Timeline and Seq order positions: within a timeline a larger Seq is later, and Seq never decreases from a
// timeline to the timelines that follow it. Seq is the engine's own counter: a TXID for SQLite, an LSN for
// PostgreSQL, a byte offset for Redis. Mark is how the engine's users write the same place ("0/16B3748", a GTID
// set); it is empty where Seq already says it. The zero Position is "before everything".
type Position struct {
	Timeline uint32
	Seq      uint64
	Mark     string
}

// At returns the position of seq on timeline, without a mark.
func At(timeline uint32, seq uint64) Position { return Position{Timeline: timeline, Seq: seq} }

// IsZero reports whether p is before everything.
func (p Position) IsZero() bool { return p.Timeline == 0 && p.Seq == 0 }

// Compare orders by timeline, then by sequence. The mark takes no part: it is another spelling of Seq.
func (p Position) Compare(q Position) int {
	if c := cmp.Compare(p.Timeline, q.Timeline); c != 0 {
		return c
	}
	return cmp.Compare(p.Seq, q.Seq)
}

// Equal reports whether both name the same place.
func (p Position) Equal(q Position) bool { return p.Compare(q) == 0 }

// Before reports whether p lies before q.
func (p Position) Before(q Position) bool { return p.Compare(q) < 0 }

// String prints "timeline/seq", and "@mark" behind it where the engine has a spelling of its own: "1/42",
// "3/23846728@0/16BDF48". ParsePosition reads it back.
func (p Position) String() string {
	s := strconv.FormatUint(uint64(p.Timeline), 10) + "/" + strconv.FormatUint(p.Seq, 10)
	if p.Mark != "" {
		s += "@" + p.Mark
	}
	return s
}

// Plain is the place as the engine's users write it, for texts: "0/16BDF48", with the timeline where that is not the
// first. Without a spelling of its own it is String.
func (p Position) Plain() string {
	switch {
	case p.Mark == "":
		return p.String()
	case p.Timeline > 1:
		return p.Mark + " of timeline " + strconv.FormatUint(uint64(p.Timeline), 10)
	default:
		return p.Mark
	}
}

// ParsePosition reads what String printed.
func ParsePosition(s string) (Position, error) {
	place, mark, _ := strings.Cut(s, "@")
	timeline, seq, ok := strings.Cut(place, "/")
	if !ok {
		return Position{}, fmt.Errorf("parse position %q: want timeline/sequence, as in 1/42", s)
	}
	t, err := strconv.ParseUint(timeline, 10, 32)
	if err != nil {
		return Position{}, fmt.Errorf("parse position %q: timeline: %w", s, err)
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return Position{}, fmt.Errorf("parse position %q: sequence: %w", s, err)
	}
	return Position{Timeline: uint32(t), Seq: n, Mark: mark}, nil
}

// MarshalText makes positions travel as text in JSON, YAML and file names.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (p *Position) UnmarshalText(b []byte) error {
	q, err := ParsePosition(string(b))
	if err != nil {
		return err
	}
	*p = q
	return nil
}
