package sqlite

import (
	"context"
	"fmt"

	"github.com/backstaydb/backstay/internal/history"
)

// find looks for the last commit that the goal includes, from the end of the log back. It gives the number of the segment
// that holds it and leaves that open, or -1 where the log has no such commit.
func (p *replay) find(ctx context.Context) (int, error) {
	newest := p.reach() - 1
	p.ahead = openBack(ctx, p.log, newest)
	for i := newest; i >= 0; i-- {
		if err := p.older(ctx); err != nil {
			return -1, err
		}
		if err := p.findIn(ctx); err != nil {
			return -1, fmt.Errorf("read marks of %s: %w", p.segments[i].Name, err)
		}
		if p.position.IsZero() {
			continue
		}
		if want := p.goal.Position; !want.IsZero() && p.position.Seq != want.Seq {
			return -1, fmt.Errorf("the log ends at %s, before %s", p.position, want)
		}
		return i, nil
	}
	return -1, nil
}

// reach is how many segments begin before the goal.
func (p *replay) reach() int {
	for i, s := range p.segments {
		if !p.goal.Position.IsZero() && s.From.Seq >= p.goal.Position.Seq {
			return i
		}
		if p.goal.Position.IsZero() && !p.goal.Time.IsZero() && s.Since.After(p.goal.Time) {
			return i
		}
	}
	return len(p.segments)
}

// findIn notes the last commit of the open segment that the goal includes.
func (p *replay) findIn(ctx context.Context) error {
	for m, err := range p.open.Marks(ctx) {
		if err != nil {
			return err
		}
		if !p.includes(m) {
			break
		}
		p.position, p.time = m.Position, m.Time
	}
	return nil
}

func (p *replay) includes(m history.Mark) bool {
	if !p.goal.Position.IsZero() {
		return m.Position.Seq <= p.goal.Position.Seq
	}
	return p.goal.Time.IsZero() || !m.Time.After(p.goal.Time)
}
