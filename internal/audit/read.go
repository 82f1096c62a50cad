package audit

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/ledger"
)

// Filter says which entries. The zero Filter takes all.
type Filter struct {
	Since      time.Time // not before; zero: from the beginning
	Until      time.Time // before; zero: to the end
	Source     string    // "" : any, as with the fields below
	Repository string
	Job        string
	What       []Action
	Outcomes   []Outcome
	Last       int // at most so many, the newest; 0: all
}

func (f Filter) takes(e Entry) bool {
	switch {
	case !f.Since.IsZero() && e.Time.Before(f.Since),
		!f.Until.IsZero() && !e.Time.Before(f.Until),
		f.Source != "" && e.Source != f.Source,
		f.Repository != "" && e.Repository != f.Repository,
		f.Job != "" && e.Who.Job != f.Job,
		len(f.What) > 0 && !slices.Contains(f.What, e.What),
		len(f.Outcomes) > 0 && !slices.Contains(f.Outcomes, e.Outcome):
		return false
	}
	return true
}

// Read calls visit for the entries in the order in which they were appended, and ends early with visit's error. A volume's
// entries are visited when all of it has been verified; with Last only as many volumes are read as are needed. It is
// fs.ErrNotExist if the log was never begun.
func (l *Log) Read(ctx context.Context, f Filter, visit func(Record) error) error {
	newest, err := l.find(ctx)
	if err == nil && newest < 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("read audit log %s: %w", l.c.Name, err)
	}
	if f.Last > 0 {
		return l.readLast(ctx, f, newest, visit)
	}
	for n := range newest + 1 {
		records, err := l.records(ctx, n, f)
		if err != nil {
			return err
		}
		if err := each(records, visit); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) readLast(ctx context.Context, f Filter, newest int, visit func(Record) error) error {
	var volumes [][]Record // newest first
	missing := f.Last
	for n := newest; n >= 0 && missing > 0; n-- {
		records, err := l.records(ctx, n, f)
		if err != nil {
			return err
		}
		records = records[max(0, len(records)-missing):]
		missing -= len(records)
		volumes = append(volumes, records)
	}
	for _, records := range slices.Backward(volumes) {
		if err := each(records, visit); err != nil {
			return err
		}
	}
	return nil
}

func each(records []Record, visit func(Record) error) error {
	for _, r := range records {
		if err := visit(r); err != nil {
			return err
		}
	}
	return nil
}

// records reads one volume, verifies it, and returns what the filter takes.
func (l *Log) records(ctx context.Context, number int, f Filter) ([]Record, error) {
	v, err := l.volumeIn(l.c.Store, number, nil, l.c.Memory, keepEntries)
	if err != nil {
		return nil, err
	}
	var list []Record
	err = v.log.View(ctx, func(ledger.Checkpoint, []ledger.Ignored) error {
		if b := v.fold.begins; b == nil || b.Log != l.c.Name || b.Volume != number {
			return &ledger.CorruptError{Object: prefix(l.c.Name, number), Detail: "its first leaf does not say that it is this volume"}
		}
		for _, r := range v.fold.entries {
			if r.Volume = number; f.takes(r.Entry) {
				list = append(list, r)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read audit log %s: %w", l.c.Name, err)
	}
	return list, nil
}
