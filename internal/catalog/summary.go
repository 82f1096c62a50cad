package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Holding sums up one repository of one source.
type Holding struct {
	Ref
	Engine     string
	Checkpoint uint64         // number of the newest that was synced
	Leaves     int64          // in its ledger
	Time       time.Time      // of that checkpoint
	Whole      history.Moment // nothing beyond this position was committed at this time
	Objects    int64          // that the ledger lists, without tips
	Bytes      int64          // stored
	Bases      int
	Segments   int
	Tips       int
	Reports    int
	LastBase   history.Base // zero if there is none
	Damaged    int          // objects that their last reading found damaged
	GoodSince  time.Time    // every object was known to be good at this time or later; zero: there is none
	DeepSince  time.Time    // the same of deep checks
	Synced     time.Time

	LastDrill  *Drill // nil: never
	LastProved *Drill
}

// Activity sums up the runs of one kind of one source.
type Activity struct {
	Source      string
	Kind        string
	LastRun     string // its ID
	LastBegan   time.Time
	LastEnded   time.Time
	LastOutcome string
	LastError   string
	OKBegan     time.Time // the last that went well; zero: none did
	OKEnded     time.Time
	Failures    int // since then, one after the other
}

// Summary is what status needs.
type Summary struct {
	Holdings   []Holding  // by source and repository
	Activities []Activity // by source and kind
	Running    []Run      // the oldest first
}

// Summary reads the rows that sum up: it costs what the number of sources asks for, not the number of segments and runs.
func (c *Catalog) Summary(ctx context.Context) (Summary, error) {
	var s Summary
	var err error
	if s.Holdings, err = c.holdings(ctx); err != nil {
		return Summary{}, err
	}
	if s.Activities, err = c.activities(ctx); err != nil {
		return Summary{}, err
	}
	s.Running, err = c.runs(ctx, "ended = 0 ORDER BY began")
	return s, err
}

func (c *Catalog) holdings(ctx context.Context) ([]Holding, error) {
	var list []Holding
	err := c.query(ctx, "read holdings", func(scan func(...any) error) error {
		h, err := scanHolding(scan)
		list = append(list, h)
		return err
	}, `SELECT source, repository, engine, checkpoint, leaves, checkpoint_time, whole_position, whole_time, listed, bytes, bases, segments, tips, reports,
		last_base, damaged, synced,
		coalesce((SELECT good FROM object o WHERE o.holding = h.id ORDER BY good LIMIT 1), 0),
		coalesce((SELECT good_deep FROM object o WHERE o.holding = h.id ORDER BY good_deep LIMIT 1), 0),
		coalesce((SELECT body FROM drill d WHERE d.source = h.source AND d.repository = h.repository ORDER BY began DESC LIMIT 1), ''),
		coalesce((SELECT body FROM drill d WHERE d.source = h.source AND d.repository = h.repository AND verdict = 'proved' ORDER BY began DESC LIMIT 1), '')
		FROM holding h ORDER BY source, repository`)
	return list, err
}

func scanHolding(scan func(...any) error) (Holding, error) {
	var h Holding
	var at, whole, synced, good, deep int64
	var position, base, last, proved string
	err := scan(&h.Source, &h.Repository, &h.Engine, &h.Checkpoint, &h.Leaves, &at, &position, &whole, &h.Objects, &h.Bytes, &h.Bases, &h.Segments, &h.Tips, &h.Reports,
		&base, &h.Damaged, &synced, &good, &deep, &last, &proved)
	if err != nil {
		return h, err
	}
	h.Time, h.Synced, h.GoodSince, h.DeepSince, h.Whole.Time = moment(at), moment(synced), moment(good), moment(deep), moment(whole)
	if position != "" {
		if h.Whole.Position, err = history.ParsePosition(position); err != nil {
			return h, err
		}
	}
	if base != "" {
		err = json.Unmarshal([]byte(base), &h.LastBase)
	}
	for text, to := range map[string]**Drill{last: &h.LastDrill, proved: &h.LastProved} {
		if text != "" && err == nil {
			*to = new(Drill)
			err = json.Unmarshal([]byte(text), *to)
		}
	}
	if err != nil {
		return h, fmt.Errorf("%s: %w", h.Ref, err)
	}
	return h, nil
}

func (c *Catalog) activities(ctx context.Context) ([]Activity, error) {
	var list []Activity
	err := c.query(ctx, "read activities", func(scan func(...any) error) error {
		var a Activity
		var began, ended, okBegan, okEnded int64
		err := scan(&a.Source, &a.Kind, &a.LastRun, &began, &ended, &a.LastOutcome, &a.LastError, &okBegan, &okEnded, &a.Failures)
		a.LastBegan, a.LastEnded, a.OKBegan, a.OKEnded = moment(began), moment(ended), moment(okBegan), moment(okEnded)
		list = append(list, a)
		return err
	}, "SELECT source, kind, last_run, last_began, last_ended, last_outcome, last_error, ok_began, ok_ended, failures FROM activity ORDER BY source, kind")
	return list, err
}
