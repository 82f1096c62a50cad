package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/repository"
)

// Truth is where a catalog comes from.
type Truth struct {
	Repositories []Opener
	Audit        *audit.Log // of this host; nil: the runs are not rebuilt

	// Drill reads a signed drill report that one of the verifier keys must have signed, or fails with ErrNoDrill where it is of
	// another kind; nil: the drills are not rebuilt.
	Drill func(signed []byte, verifiers []string) (Drill, error)
}

// ErrNoDrill says that a report is of another kind than those of drills. It is left out.
var ErrNoDrill = errors.New("it is no drill report")

// Opener opens one holding when its turn comes, so that not all are open at once.
type Opener struct {
	Ref
	Open func(context.Context) (*repository.Repository, error)
}

// Rebuilt is what Rebuild did.
type Rebuilt struct {
	Objects int64
	Reports int
	Runs    int
	Took    time.Duration
	Failed  map[Ref]error // holdings that could not be read, and what was read of them stands
}

// rebuildsAtOnce is how many ledgers are read at once: one while the rows of another are written. More would only need
// more memory.
const rebuildsAtOnce = 2

// maxRuns is how many runs are read from the audit log.
const maxRuns = 100_000

// Rebuild fills the catalog from the repositories and from the audit log. It may be repeated, and run while others write:
// what the catalog knows already is kept. A repository that cannot be read is told in Failed, and does not stop the others.
func (c *Catalog) Rebuild(ctx context.Context, t Truth) (Rebuilt, error) {
	began := time.Now()
	done := Rebuilt{Failed: map[Ref]error{}}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(rebuildsAtOnce)
	for _, o := range t.Repositories {
		g.Go(func() error {
			objects, reports, err := c.rebuild(ctx, o, t)
			mu.Lock()
			defer mu.Unlock()
			done.Objects, done.Reports = done.Objects+objects, done.Reports+reports
			if err != nil {
				done.Failed[o.Ref] = err
			}
			return nil
		})
	}
	_ = g.Wait() // what failed is in done
	if ctx.Err() != nil {
		return done, fmt.Errorf("rebuild catalog: %w", context.Cause(ctx))
	}
	if t.Audit != nil {
		n, err := c.replay(ctx, t.Audit)
		if err != nil {
			return done, fmt.Errorf("rebuild catalog: %w", err)
		}
		done.Runs = n
	}
	done.Took = time.Since(began)
	return done, nil
}

func (c *Catalog) rebuild(ctx context.Context, o Opener, t Truth) (objects int64, reports int, err error) {
	if ctx.Err() != nil {
		return 0, 0, context.Cause(ctx)
	}
	r, err := o.Open(ctx)
	if err != nil {
		return 0, 0, err
	}
	f, err := r.Facts(ctx)
	if err == nil {
		err = c.Sync(ctx, o.Ref, f)
	}
	if err == nil {
		objects = int64(len(f.Objects))
		reports, err = c.Reports(ctx, o.Ref, r, f, t.Drill)
	}
	return objects, reports, errors.Join(err, r.Close())
}

// Reports reads the drill reports that a holding lists and the catalog does not know: also those of drills that another
// host ran. It returns how many; one that cannot be read does not stop the others.
func (c *Catalog) Reports(ctx context.Context, ref Ref, r *repository.Repository, f repository.Facts, parse func(signed []byte, verifiers []string) (Drill, error)) (int, error) {
	if parse == nil {
		return 0, nil
	}
	known, err := c.knownReports(ctx, ref)
	if err != nil {
		return 0, err
	}
	var read []Drill
	var failed []error
	for _, listed := range f.Reports {
		if known[listed.ID] {
			continue
		}
		signed, err := r.Report(ctx, listed.ID)
		var d Drill
		if err == nil {
			d, err = parse(signed, r.Verifiers())
		}
		if errors.Is(err, ErrNoDrill) {
			continue
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("report %s of %s: %w", listed.ID, ref, err))
			continue
		}
		d.Ref, d.Report = ref, listed.ID
		read = append(read, d)
	}
	if len(read) > 0 {
		failed = append(failed, c.Drilled(ctx, read...))
	}
	return len(read), errors.Join(failed...)
}

// replay makes runs of the audit log's newest entries. Of several entries of one job the last says how it went.
func (c *Catalog) replay(ctx context.Context, l *audit.Log) (int, error) {
	var runs []Run
	place := map[string]int{}
	err := l.Read(ctx, audit.Filter{Last: maxRuns}, func(r audit.Record) error {
		run, ok := runOf(r.Entry)
		if !ok {
			return nil
		}
		if i, known := place[run.ID]; known {
			runs[i] = run
			return nil
		}
		place[run.ID] = len(runs)
		runs = append(runs, run)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // nothing was done yet
	}
	for part := range slices.Chunk(runs, 5000) {
		if err == nil {
			err = c.Record(ctx, part...)
		}
	}
	return len(runs), err
}

// runOf is the run that an entry ends; ok is false for entries that end none.
func runOf(e audit.Entry) (r Run, ok bool) {
	switch e.What {
	case audit.Base, audit.Drop, audit.Restore, audit.Drill, audit.Check, audit.Repair, audit.Copy:
	default:
		return Run{}, false
	}
	if e.Outcome == audit.Began {
		return Run{}, false
	}
	r = Run{ID: e.Who.Job, Kind: string(e.What), Source: e.Source, Repository: e.Repository, Decision: e.Why, Began: e.Since, Ended: e.Time,
		Outcome: string(e.Outcome), Error: e.Error, Bytes: e.Bytes}
	if r.ID == "" {
		r.ID = e.ID
	}
	if r.Began.IsZero() {
		r.Began = e.Time
	}
	return r, true
}
