package drill

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/internal/process"
	"github.com/backstaydb/backstay/internal/recovery"
	"github.com/backstaydb/backstay/internal/scratch"
)

// Reserve is what a drill leaves free on the disk of its scratch folder, bytes: a source, a spool or a repository may lie there too.
const Reserve = 256 << 20

// looks is how often the free space is looked at while a drill runs. A fast disk takes a few hundred megabytes meanwhile, which Reserve
// is for: half of it is left when the drill ends for it.
const looks = 250 * time.Millisecond

// room refuses a disk that could not hold the base and Reserve. How much the log adds nobody knows before: see guard.
func (d *drill) room(dir string) error {
	free, err := d.config.FreeBytes(dir)
	if err != nil {
		return fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	if need := d.plan.LayBytes + Reserve; free < need {
		return &recovery.NoSpaceError{Dir: dir, Need: need, Free: free}
	}
	return nil
}

// guard ends the drill, with a *recovery.NoSpaceError as cause, when the disk fills up, whoever fills it. The caller calls stop.
func (d *drill) guard(ctx context.Context, dir string) (guarded context.Context, stop func()) {
	guarded, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(looks)
		defer tick.Stop()
		for {
			select {
			case <-guarded.Done():
				return
			case <-tick.C:
			}
			if free, err := d.config.FreeBytes(dir); err == nil && free < Reserve/2 {
				cancel(&recovery.NoSpaceError{Dir: dir, Need: Reserve / 2, Free: free})
				return
			}
		}
	}()
	return guarded, func() {
		cancel(nil)
		<-done
	}
}

// Sweep removes from root what drills left there that died, and ends what their commands left running.
func Sweep(root string) (removed []string, err error) {
	removed, err = scratch.Sweep(root)
	for _, dir := range removed {
		process.EndMarked(mark(filepath.Join(dir, workDir)))
	}
	return removed, err
}
