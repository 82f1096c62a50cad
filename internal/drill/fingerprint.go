package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/recovery"
)

// Compared says what came of comparing the data with a fingerprint of the source.
type Compared struct {
	Taken     time.Time `json:"taken"`               // by the clock of the source
	Tables    int       `json:"tables"`              // that were compared
	Rows      int64     `json:"rows"`                // in them
	LeftOut   int       `json:"left_out,omitempty"`  // tables that could not be
	Different []string  `json:"different,omitempty"` // what is not as it was at the source
	Why       string    `json:"why,omitempty"`       // nothing could be compared; "" if something was
}

// fingerprintCheck is the name of the check.
const fingerprintCheck = "fingerprint"

// maxDifferent is how many differences a report names.
const maxDifferent = 20

// errNoFingerprint is why there is nothing to compare.
var errNoFingerprint = errors.New("no fingerprint of the source lies where this repository can be recovered to")

// fingerprinted chooses the newest of the fingerprints that can be recovered to and compared.
func (d *drill) fingerprinted(ctx context.Context, all []engine.Fingerprint) (history.Target, error) {
	newest := slices.SortedFunc(slices.Values(all), func(a, b engine.Fingerprint) int { return b.Time.Compare(a.Time) })
	why := errNoFingerprint
	for _, f := range newest {
		at, err := d.cut(ctx, f)
		if err == nil {
			d.fingerprint = &f
			return history.Target{Kind: history.AtPosition, Position: at}, nil
		}
		if _, bad := recovery.Damaged(err); bad || ctx.Err() != nil {
			return history.Target{}, err
		}
		if _, none := errors.AsType[*engine.NoCutError](err); none {
			why = fmt.Errorf("%w: %w", errNoFingerprint, err)
		}
	}
	return history.Target{}, &refusedError{why}
}

// cut finds the position to recover to so that the data is what a fingerprint says.
func (d *drill) cut(ctx context.Context, f engine.Fingerprint) (history.Position, error) {
	e, ok := d.config.Engine.(engine.Fingerprinter)
	if !ok {
		return history.Position{}, errNoFingerprint
	}
	plan, err := recovery.PlanFor(d.facts.Origin.History, history.Target{Kind: history.AtPosition, Position: f.Position}, d.config.Limits)
	if err != nil {
		return history.Position{}, err
	}
	at, err := e.Cut(ctx, recovery.OpenLog(plan, d.facts.Origin, d.facts.Spool), f)
	if err == nil && at.Before(plan.Chain.Base.Stop) {
		return at, errNoFingerprint // the base begins behind it; an older one may not be there
	}
	return at, err
}

// compare holds what the server has against the fingerprint that was recovered to.
func (d *drill) compare(ctx context.Context, server engine.Server) error {
	comparer, ok := server.(engine.Comparer)
	if d.fingerprint == nil || !ok {
		return nil
	}
	begin := time.Now()
	got, err := comparer.Compare(ctx, *d.fingerprint)
	if err != nil {
		return fmt.Errorf("compare with the fingerprint: %w", err)
	}
	c := &Compared{Taken: d.fingerprint.Time, Tables: got.Tables, Rows: got.Rows, LeftOut: got.LeftOut, Why: got.Why,
		Different: got.Different[:min(len(got.Different), maxDifferent)]}
	if c.Why == "" && c.Tables == 0 && len(c.Different) == 0 {
		c.Why = "no table of it can be read here: " + got.Note
	}
	d.report.Compared = c
	if c.Why != "" {
		return nil // a comparison that was not made proves nothing and blames nobody
	}
	check := Check{Name: fingerprintCheck, OK: len(got.Different) == 0, Seconds: time.Since(begin).Seconds()}
	check.Detail = fmt.Sprintf("%d rows in %d tables are what they were at the source at %s", got.Rows, got.Tables, c.Taken.UTC().Format(time.RFC3339))
	if !check.OK {
		check.Detail = fmt.Sprintf("%d × not what it was at the source at %s: %s", len(got.Different), c.Taken.UTC().Format(time.RFC3339), strings.Join(c.Different, "; "))
	}
	if got.LeftOut > 0 {
		check.Detail += fmt.Sprintf("; %d tables were left out: %s", got.LeftOut, got.Note)
	}
	d.report.Checks = append(d.report.Checks, check)
	return nil
}

// differs is what a failed comparison says; "" if there is none.
func (r *Report) differs() string {
	return told(r.Checks, func(c Check) bool { return c.failed() && !c.Owner && c.Name == fingerprintCheck })
}
