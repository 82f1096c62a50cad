package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/superfly/ltx"
)

var _ engine.Restorer = Engine{}

// Replay lays the last version of each page over the base in dir, newest log file first, so that every page is written at
// most once. At the end the checksum of the whole database must be the one that the log recorded.
//
//  1. find the last commit that the goal includes, and the segment that holds it;
//  2. from that segment back to the first, one at a time: choose the condensed file where the segment lies wholly before
//     the goal, else its single files; of them, newest first, write only pages that no newer file gave;
//  3. set the size of the file and sync it;
//  4. compute the checksum of all pages and compare.
//
// One segment is read at a time and few are open, so memory does not grow with the log. If the goal includes nothing of the
// log the data is left as the base laid it, and Reached.Position is zero.
func (e Engine) Replay(ctx context.Context, dir string, log engine.Log, to engine.Goal) (engine.Reached, error) {
	name, err := databaseIn(dir)
	if err != nil {
		return engine.Reached{}, fmt.Errorf("replay: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return engine.Reached{}, fmt.Errorf("replay: %w", err)
	}
	defer root.Close()
	file, err := root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return engine.Reached{}, fmt.Errorf("replay: %w", err)
	}
	p := newReplay(log, to)
	err = p.run(ctx, file)
	if err = errors.Join(err, p.close(), file.Close()); err != nil {
		return engine.Reached{}, fmt.Errorf("replay: %w", err)
	}
	return engine.Reached{Position: p.position, Time: p.time, Digest: checksum(p.digest).String(), Files: []string{name}}, nil
}

// databaseIn finds the one database that a base laid in dir.
func databaseIn(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	name := ""
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if name != "" {
			return "", fmt.Errorf("folder %s holds %s and %s: want one database file", dir, name, e.Name())
		}
		name = e.Name()
	}
	if name == "" {
		return "", fmt.Errorf("folder %s holds no database file", dir)
	}
	return filepath.Clean(name), nil
}

// replay is one run of Replay.
type replay struct {
	log      engine.Log
	segments []history.Segment
	goal     engine.Goal

	ahead    *opener
	open     engine.LogSegment // the one that is read; nil for none
	position history.Position  // of the last commit that the goal includes
	time     time.Time
	line     joint
	meter    meter

	pageSize uint32 // zero until the first file is applied
	pages    uint32 // size of the database at the goal
	sum      uint64 // that the log recorded for it
	digest   uint64 // that it has
	before   ltx.Checksum
	written  bitmap
	decoder  *ltxReader
}

func newReplay(log engine.Log, to engine.Goal) *replay {
	return &replay{log: log, segments: log.Segments(), goal: to, written: bitmap{}, decoder: newLTXReader()}
}

func (p *replay) run(ctx context.Context, db *os.File) error {
	newest, err := p.find(ctx)
	if err != nil {
		return err
	}
	p.meter = newMeter(p.segments[:newest+1], p.goal.Progress)
	for i := newest; i >= 0; i-- {
		if i < newest {
			if err := p.older(ctx); err != nil {
				return err
			}
		}
		if err := p.segment(ctx, db, i); err != nil {
			return fmt.Errorf("segment %s: %w", p.segments[i].Name, err)
		}
	}
	return p.finish(ctx, db)
}

// older goes on to the segment before the one that is open.
func (p *replay) older(ctx context.Context) (err error) {
	if p.open != nil {
		if err := p.open.Close(); err != nil {
			return err
		}
	}
	p.open, err = p.ahead.older(ctx)
	return err
}

// close closes what is open.
func (p *replay) close() (err error) {
	if p.open != nil {
		err = p.open.Close()
	}
	if p.ahead != nil {
		err = errors.Join(err, p.ahead.close())
	}
	return err
}
