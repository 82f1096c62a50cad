package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

// The outcomes of a run that the catalog itself tells apart. Others are the caller's.
const (
	OK          = "ok"
	Interrupted = "interrupted" // its process ended before it did
)

// Run is one job.
type Run struct {
	ID         string    `json:"id"`   // the job: the same in the audit log and in traces
	Kind       string    `json:"kind"` // base, drill, check, …
	Source     string    `json:"source"`
	Repository string    `json:"repository,omitempty"`
	Owner      string    `json:"owner,omitempty"`    // whose process does it: Interrupt ends what one left behind
	Decision   string    `json:"decision,omitempty"` // why, in one sentence
	Began      time.Time `json:"began"`
	Ended      time.Time `json:"ended,omitzero"` // zero: it is running
	Outcome    string    `json:"outcome,omitempty"`
	Error      string    `json:"error,omitempty"`
	Bytes      int64     `json:"bytes,omitempty"`
	Phases     []Phase   `json:"phases,omitempty"`
}

// Phase is a part of a run.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes,omitempty"`
}

// Record writes runs down: when they begin, and again, under the same ID, when they have ended. A run that has ended stays
// as it is.
func (c *Catalog) Record(ctx context.Context, runs ...Run) error {
	return c.update(ctx, "record run", func(tx *sql.Tx) error {
		put, err := tx.PrepareContext(ctx, putRun)
		if err != nil {
			return err
		}
		defer put.Close()
		sum, err := tx.PrepareContext(ctx, sumRun)
		if err != nil {
			return err
		}
		defer sum.Close()
		for _, r := range runs {
			if err := record(ctx, put, sum, r); err != nil {
				return fmt.Errorf("%s: %w", r.ID, err)
			}
		}
		return nil
	})
}

const putRun = `INSERT INTO run (id, kind, source, repository, owner, decision, began, ended, outcome, error, bytes, phases)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, outcome = excluded.outcome, error = excluded.error, bytes = excluded.bytes,
		phases = excluded.phases, decision = CASE excluded.decision WHEN '' THEN decision ELSE excluded.decision END WHERE run.ended = 0`

// sumRun keeps the row that sums up the runs of a kind.
const sumRun = `INSERT INTO activity (source, kind, last_run, last_began, last_ended, last_outcome, last_error, ok_began, ok_ended, failures)
	VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
	ON CONFLICT (source, kind) DO UPDATE SET
		failures = CASE WHEN ?10 = 0 AND ?5 >= last_ended THEN 0 WHEN ?10 > 0 AND ?5 > ok_ended THEN failures + 1 ELSE failures END,
		ok_began = max(ok_began, ?8), ok_ended = max(ok_ended, ?9),
		last_run = CASE WHEN ?5 >= last_ended THEN ?3 ELSE last_run END,
		last_began = CASE WHEN ?5 >= last_ended THEN ?4 ELSE last_began END,
		last_outcome = CASE WHEN ?5 >= last_ended THEN ?6 ELSE last_outcome END,
		last_error = CASE WHEN ?5 >= last_ended THEN ?7 ELSE last_error END,
		last_ended = max(last_ended, ?5)`

func record(ctx context.Context, put, sum *sql.Stmt, r Run) error {
	if r.ID == "" || r.Kind == "" || r.Began.IsZero() {
		return errors.New("a run needs an id, a kind and when it began")
	}
	phases, err := json.Marshal(r.Phases)
	if err != nil {
		return err
	}
	began, ended := stamp(r.Began), stamp(r.Ended)
	done, err := put.ExecContext(ctx, r.ID, r.Kind, r.Source, r.Repository, r.Owner, r.Decision, began, ended, r.Outcome, r.Error, r.Bytes, string(phases))
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 || r.Ended.IsZero() {
		return err // it had ended before, or runs
	}
	okBegan, okEnded, failures := int64(0), int64(0), 1
	if r.Outcome == OK {
		okBegan, okEnded, failures = began, ended, 0
	}
	_, err = sum.ExecContext(ctx, r.Source, r.Kind, r.ID, began, ended, r.Outcome, r.Error, okBegan, okEnded, failures)
	return err
}

// Interrupt ends the runs that a process left behind, and returns them.
func (c *Catalog) Interrupt(ctx context.Context, owner string, at time.Time) ([]Run, error) {
	left, err := c.runs(ctx, "owner = ? AND ended = 0 ORDER BY began", owner)
	for i := range left {
		left[i].Ended, left[i].Outcome = at, Interrupted
	}
	if err == nil && len(left) > 0 {
		err = c.Record(ctx, left...)
	}
	return left, err
}

// RunFilter says which runs. The zero RunFilter takes the newest 100.
type RunFilter struct {
	ID      string
	Source  string
	Kind    string
	Outcome string
	Since   time.Time // that began then or later
	Running bool      // only those that have not ended
	Last    int       // at most so many; 0: 100
}

// Runs returns runs, the newest first.
func (c *Catalog) Runs(ctx context.Context, f RunFilter) ([]Run, error) {
	where, args := "began >= ?", []any{stamp(f.Since)}
	and := func(clause, value string) {
		if value != "" {
			where, args = where+" AND "+clause, append(args, value)
		}
	}
	and("id = ?", f.ID)
	and("source = ?", f.Source)
	and("kind = ?", f.Kind)
	and("outcome = ?", f.Outcome)
	if f.Running {
		where += " AND ended = 0"
	}
	if f.Last <= 0 {
		f.Last = 100
	}
	return c.runs(ctx, where+" ORDER BY began DESC, id DESC LIMIT ?", append(args, f.Last)...)
}

func (c *Catalog) runs(ctx context.Context, where string, args ...any) ([]Run, error) {
	var list []Run
	err := c.query(ctx, "read runs", func(scan func(...any) error) error {
		var r Run
		var began, ended int64
		var phases string
		if err := scan(&r.ID, &r.Kind, &r.Source, &r.Repository, &r.Owner, &r.Decision, &began, &ended, &r.Outcome, &r.Error, &r.Bytes, &phases); err != nil {
			return err
		}
		r.Began, r.Ended = moment(began), moment(ended)
		if err := json.Unmarshal([]byte(phases), &r.Phases); err != nil {
			return fmt.Errorf("phases of %s: %w", r.ID, err)
		}
		list = append(list, r)
		return nil
	}, "SELECT id, kind, source, repository, owner, decision, began, ended, outcome, error, bytes, phases FROM run WHERE "+where, args...)
	return list, err
}

// Trim forgets runs that ended before, a bounded number at a time, and says how many. What sums them up stays.
func (c *Catalog) Trim(ctx context.Context, before time.Time) (int64, error) {
	var n int64
	err := c.update(ctx, "trim runs", func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, "DELETE FROM run WHERE id IN (SELECT id FROM run WHERE began < ? AND ended > 0 AND ended < ? LIMIT ?)", stamp(before), stamp(before), rowsAtOnce)
		if err == nil {
			n, err = done.RowsAffected()
		}
		return err
	})
	return n, err
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) iter.Seq[K] {
	return slices.Values(slices.Sorted(maps.Keys(m)))
}
