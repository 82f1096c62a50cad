package archive

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/spool"
)

// diskPatience is how long a spool that cannot be written is tried again while commits wait at the source. Longer
// would let the source's own log grow, often on the same disk.
const diskPatience = time.Minute

// diskRetry is how soon it is tried again.
var diskRetry = backoff.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second}

// diskError says that the disk of the spool refuses what is captured.
type diskError struct {
	dir     string
	stopped bool // capture has given up waiting
	err     error
}

func (e *diskError) Error() string {
	if e.stopped {
		return fmt.Sprintf("capture has stopped, for the spool cannot be written; it goes on when the disk has room: %v", e.err)
	}
	return fmt.Sprintf("commits wait at the source, for the spool cannot be written: %v", e.err)
}

func (e *diskError) Unwrap() error { return e.err }

// Hint says what helps.
func (e *diskError) Hint() string { return "make room on the disk of " + e.dir }

// persist does something with the spool. While the disk refuses it, it is tried again for a bounded time, so that a
// moment without room costs nothing; then it returns the *spool.WriteError.
func (a *Archive) persist(ctx context.Context, do func() error) error {
	err := do()
	var refused *spool.WriteError
	if !errors.As(err, &refused) {
		return err
	}
	began := a.c.Now()
	a.source.fail(&diskError{dir: a.c.Dir, err: err}, began)
	a.emit(Event{Kind: SpoolAlarm, Text: fmt.Sprintf("the spool cannot be written; trying again for %s, commits wait at the source", diskPatience), Err: err})
	for try := 1; a.c.Now().Sub(began) < diskPatience; try++ {
		if err := backoff.Sleep(ctx, diskRetry.Delay(try, rand.Float64)); err != nil {
			return err
		}
		if err = do(); !errors.As(err, &refused) {
			if err == nil {
				a.writtenAgain(began)
			}
			return err
		}
	}
	return err
}

// waitForDisk stands still until the spool's disk takes need bytes. The source is let go meanwhile: what it does not
// keep is a gap.
func (a *Archive) waitForDisk(ctx context.Context, refused *spool.WriteError) {
	a.setFull(true)
	defer a.setFull(false)
	began := a.c.Now()
	a.emit(Event{Kind: SpoolAlarm, Percent: 100, Text: "the spool cannot be written: the source is not followed until its disk has room; nothing in the spool is dropped", Err: refused})
	held := a.watchHeld()
	defer held.stop()
	for try, err := 1, error(refused); err != nil; try++ {
		select {
		case <-held.tick.C:
			held.look(ctx)
		default:
		}
		a.source.fail(&diskError{dir: a.c.Dir, stopped: true, err: err}, began)
		if backoff.Sleep(ctx, diskRetry.Delay(try, rand.Float64)) != nil {
			return
		}
		err = a.sp.Room(max(refused.Need, 1<<20))
	}
	a.writtenAgain(began)
}

func (a *Archive) writtenAgain(began time.Time) {
	a.source.end()
	a.emit(Event{Kind: SpoolRoom, Text: fmt.Sprintf("the spool is written again after %s", a.c.Now().Sub(began).Round(time.Millisecond))})
}
