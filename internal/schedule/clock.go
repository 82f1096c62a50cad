package schedule

import "time"

// clockWatch notices that the wall clock went another way than time did: it was set, or the host slept.
type clockWatch struct {
	wall  time.Time
	began time.Time // with a monotonic reading
	mono  time.Duration
}

// unnoticed is what time servers correct without a job noticing.
const unnoticed = 2 * time.Second

func (c *clockWatch) set(wall time.Time) {
	if c.began.IsZero() {
		c.began = time.Now()
	}
	c.wall, c.mono = wall, time.Since(c.began)
}

// jumped returns by how much the wall clock, which shows wall, moved beyond the time that passed since it was last asked;
// zero for what goes unnoticed.
func (c *clockWatch) jumped(wall time.Time) time.Duration {
	was, before := c.wall, c.mono
	c.set(wall)
	jump := wall.Sub(was) - (c.mono - before)
	if jump.Abs() < unnoticed {
		return 0
	}
	return jump.Round(time.Second)
}
