package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/schedule"
	"github.com/backstaydb/backstay/internal/watch"
)

// book keeps what a watch remembers in the catalog of this host.
type book struct{ *catalog.Catalog }

// catalogFile is the index of this host: what it did, and what the repositories hold.
func (h *Host) catalogFile() string { return filepath.Join(h.State(), "catalog.db") }

// Value implements watch.Book.
func (b book) Value(ctx context.Context, key string) ([]byte, error) {
	value, err := b.State(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return value, err
}

// SetValue implements watch.Book.
func (b book) SetValue(ctx context.Context, key string, value []byte) error {
	return b.PutState(ctx, key, json.RawMessage(value))
}

// AddRun implements watch.Book.
func (b book) AddRun(ctx context.Context, r watch.Run) error {
	run := catalog.Run{ID: r.ID, Kind: r.Kind, Source: r.Source, Decision: r.Why, Owner: owner, Began: r.Began, Ended: r.Ended, Outcome: outcomes[r.Outcome], Bytes: r.Bytes}
	switch {
	case r.Outcome == string(schedule.Failed):
		run.Error = r.Detail
	case r.Detail != "":
		run.Phases = []catalog.Phase{{Name: r.Detail, Seconds: r.Ended.Sub(r.Began).Seconds(), Bytes: r.Bytes}}
	}
	return b.Record(ctx, run)
}

// owner is whose runs are ended when the next daemon finds them unfinished.
const owner = "daemon"

// outcomes are the schedule's words as the catalog has them.
var outcomes = map[string]string{"": "", string(schedule.Done): catalog.OK, string(schedule.Interrupted): catalog.Interrupted, string(schedule.Failed): string(schedule.Failed)}

// openCatalog opens the catalog for a daemon, and ends the runs that one before it left behind.
func (h *Host) openCatalog(ctx context.Context) (*catalog.Catalog, error) {
	c, err := catalog.Open(ctx, h.catalogFile())
	if err != nil {
		return nil, fmt.Errorf("open the catalog: %w", err)
	}
	if o := c.Opened(); o.Aside != "" {
		h.Log.Warn("the catalog could not be used and is made anew; it is an index, and nothing protected is lost", "moved_to", o.Aside, "reason", o.Reason)
	}
	if _, err := c.Interrupt(ctx, owner, h.Now()); err != nil {
		return nil, errors.Join(fmt.Errorf("open the catalog: %w", err), c.Close())
	}
	return c, nil
}
