package proxy

import "time"

// Moment is a time on the clock of this process since it began. It goes on while the machine sleeps, and no change of
// the time of day moves it. It means nothing to another process.
type Moment time.Duration

var began = time.Now()

// running is the clock that is cheap to read and may stand still while the machine sleeps.
func running() time.Duration { return time.Since(began) }

// Now is the current moment.
func Now() Moment { return Moment(awake()) }

// Running is the cheap clock, which may stand still while the machine sleeps: for measuring how long an answer takes.
func Running() time.Duration { return running() }
