package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Sample is how far a repository was at one moment.
type Sample struct {
	Ref
	Time     time.Time
	Position history.Position // durable there
	Lag      time.Duration    // then
	LagMax   time.Duration    // the longest in the stretch that the sample stands for
}

// steps are the resolutions, and how long each is kept; 0: for ever.
var steps = []struct{ step, keep time.Duration }{
	{time.Minute, 24 * time.Hour},
	{time.Hour, 60 * 24 * time.Hour},
	{24 * time.Hour, 0},
}

// Sampled writes samples down: of each minute, hour and day the last position and the longest lag are kept.
func (c *Catalog) Sampled(ctx context.Context, samples ...Sample) error {
	return c.update(ctx, "record positions", func(tx *sql.Tx) error {
		for _, s := range samples {
			if err := sampled(ctx, tx, s); err != nil {
				return fmt.Errorf("%s: %w", s.Ref, err)
			}
		}
		return nil
	})
}

func sampled(ctx context.Context, tx *sql.Tx, s Sample) error {
	was, err := holding(ctx, tx, s.Ref)
	if err != nil {
		return err
	}
	at, lag := stamp(s.Time), s.Lag.Microseconds()
	for _, r := range steps {
		step := r.step.Microseconds()
		if _, err := tx.ExecContext(ctx, `INSERT INTO position (holding, step, slot, time, position, lag, lag_max) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (holding, step, slot) DO UPDATE SET lag_max = max(lag_max, excluded.lag_max),
				position = CASE WHEN excluded.time >= time THEN excluded.position ELSE position END,
				lag = CASE WHEN excluded.time >= time THEN excluded.lag ELSE lag END,
				time = max(time, excluded.time)`,
			was.id, step, at/step, at, s.Position.String(), lag, max(lag, s.LagMax.Microseconds())); err != nil {
			return err
		}
		if r.keep == 0 {
			continue
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM position WHERE holding = ? AND step = ? AND slot < ?", was.id, step, stamp(s.Time.Add(-r.keep))/step); err != nil {
			return err
		}
	}
	return nil
}

// Positions returns the samples of a holding since a moment, oldest first, each stretch as fine as it is kept.
func (c *Catalog) Positions(ctx context.Context, ref Ref, since time.Time) ([]Sample, error) {
	var list []Sample
	// Finest first: a coarser sample counts only where it is older than all that are finer.
	var step int64
	cutoff, oldest := int64(math.MaxInt64), int64(math.MaxInt64)
	err := c.query(ctx, "read positions of "+ref.String(), func(scan func(...any) error) error {
		s := Sample{Ref: ref}
		var is, at, lag, lagMax int64
		var position string
		if err := scan(&is, &at, &position, &lag, &lagMax); err != nil {
			return err
		}
		if is != step {
			step, cutoff = is, oldest
		}
		if at >= cutoff || at < stamp(since) {
			return nil
		}
		oldest = min(oldest, at)
		var err error
		s.Position, err = history.ParsePosition(position)
		s.Time, s.Lag, s.LagMax = moment(at), time.Duration(lag)*time.Microsecond, time.Duration(lagMax)*time.Microsecond
		list = append(list, s)
		return err
	}, "SELECT step, time, position, lag, lag_max FROM position WHERE holding = (SELECT id FROM holding WHERE source = ? AND repository = ?) ORDER BY step, time",
		ref.Source, ref.Repository)
	slices.SortFunc(list, func(a, b Sample) int { return a.Time.Compare(b.Time) })
	return list, err
}
