package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

var _ engine.Restorer = Engine{}

// Replay lays the last version of each page over the base in dir, newest log file first, so that every page is written at
// most once. At the end the checksum of the whole database must be the one that the log recorded.
//
//  1. find the last commit that the goal includes;
//  2. from the segment that holds it back to the first: the condensed file where the segment lies wholly before the
//     goal, else its single files, newest first; of each only pages that no newer file gave;
//  3. set the size of the file and sync it;
//  4. compute the checksum of all pages and compare.
//
// If the goal includes nothing of the log the data is left as the base laid it, and Reached.Position is zero.
func (e Engine) Replay(ctx context.Context, dir string, log engine.Log, to engine.Goal) (engine.Reached, error) {
	name, err := databaseIn(dir)
	if err != nil {
		return engine.Reached{}, fmt.Errorf("replay: %w", err)
	}
	p := &replay{log: log, goal: to, written: bitmap{}, decoder: newLTXReader()}
	defer p.close()
	if err := p.plan(ctx); err != nil {
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
	sum, err := p.apply(ctx, file)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return engine.Reached{}, fmt.Errorf("replay: %w", err)
	}
	return engine.Reached{Position: p.position, Time: p.time, Digest: checksum(sum).String(), Files: []string{name}}, nil
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
	log  engine.Log
	goal engine.Goal

	files    []logFile // what is applied, oldest first
	opened   []engine.LogSegment
	position history.Position
	time     time.Time
	total    int64
	done     int64

	pageSize uint32
	pages    uint32 // size of the database at the goal
	sum      uint64 // that the log recorded for it
	written  bitmap
	decoder  *ltxReader
}

// logFile is one LTX file, in one or more parts. Parts of a large commit may lie in several segments.
type logFile struct {
	name     string
	from, to uint64
	parts    []logPart
}

// logPart is an entry and the segment that holds it.
type logPart struct {
	segment engine.LogSegment
	entry   engine.LogEntry
}

func (f logFile) size() (n int64) {
	for _, p := range f.parts {
		n += p.entry.Size
	}
	return n
}

func (p *replay) close() {
	for _, s := range p.opened {
		_ = s.Close()
	}
}
