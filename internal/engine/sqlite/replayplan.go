package sqlite

import (
	"context"
	"fmt"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// plan opens the segments up to the goal and chooses their files.
func (p *replay) plan(ctx context.Context) error {
	segments := p.log.Segments()
	for i, s := range segments {
		if !p.goal.Position.IsZero() && s.From.Seq >= p.goal.Position.Seq {
			break
		}
		if p.goal.Position.IsZero() && !p.goal.Time.IsZero() && s.Since.After(p.goal.Time) {
			break
		}
		opened, err := p.log.Open(ctx, i)
		if err != nil {
			return fmt.Errorf("open segment %s: %w", s.Name, err)
		}
		p.opened = append(p.opened, opened)
		stop, err := p.stopIn(ctx, s, opened)
		if err != nil {
			return err
		}
		if err := p.choose(opened, stop); err != nil {
			return fmt.Errorf("segment %s: %w", s.Name, err)
		}
	}
	p.settle()
	if want := p.goal.Position; !want.IsZero() && len(p.files) > 0 && p.position.Seq != want.Seq {
		return fmt.Errorf("the log ends at %s, before %s", p.position, want)
	}
	return nil
}

// stopIn returns the last sequence of the segment that the goal includes, zero for none, and notes its time.
func (p *replay) stopIn(ctx context.Context, s history.Segment, opened engine.LogSegment) (uint64, error) {
	stop := uint64(0)
	for m, err := range opened.Marks(ctx) {
		if err != nil {
			return 0, fmt.Errorf("read marks of %s: %w", s.Name, err)
		}
		if !p.goal.Position.IsZero() {
			if m.Position.Seq > p.goal.Position.Seq {
				break
			}
		} else if !p.goal.Time.IsZero() && m.Time.After(p.goal.Time) {
			break
		}
		stop, p.position, p.time = m.Position.Seq, m.Position, m.Time
	}
	return stop, nil
}

// parseFileName reads "0000000000000001-0000000000000003.ltx".
func parseFileName(name string) (from, to uint64, err error) {
	if _, err := fmt.Sscanf(name, "%016x-%016x.ltx", &from, &to); err != nil || fileName(from, to) != name || from == 0 || from > to {
		return 0, 0, fmt.Errorf("log file %q: the name is not that of an LTX file", name)
	}
	return from, to, nil
}
