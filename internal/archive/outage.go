package archive

import (
	"sync"
	"time"
)

// outage remembers the newest error and since when there are errors.
type outage struct {
	mu       sync.Mutex
	err      error
	since    time.Time
	attempts int
}

// fail notes an error and returns which failure in a row it is.
func (o *outage) fail(err error, now time.Time) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.since = now
	}
	o.err = err
	o.attempts++
	return o.attempts
}

// end notes a success and returns since when it had failed; zero if it had not.
func (o *outage) end() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	since := o.since
	o.err, o.since, o.attempts = nil, time.Time{}, 0
	return since
}

func (o *outage) state() (since time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.since, o.err
}
