package postgres

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// filler makes the segment files of a line, ahead of the server, and puts them on the shelf. Each record is read as it
// passes and its checksum compared, so that damage is known as damage, and the file that holds the end of the last
// whole record up to the goal is cut there.
//
// A file is put on the shelf only when every record that begins in it is whole: a record that the server sees begin and
// not end would move the end of its log.
type filler struct {
	line  line
	shelf *shelf
	dir   string      // for files
	user  server.User // who is to move them
	first wal.PageHeader
	place func(oid uint32, path string) (string, error)
	count func(at wal.LSN) // how far it has come; may be nil

	scanner *wal.Scanner
	files   []*segmentFile // begun, not yet on the shelf
	spaces  []wal.Record   // that make tablespaces and are still to be moved

	mu      sync.Mutex
	patches []patch
}

// end is where the log that was served ends.
type end struct {
	at   wal.LSN    // the last record boundary up to the goal
	last wal.Record // that ends there
}

// fill serves the whole line.
func (f *filler) fill(ctx context.Context) (e end, err error) {
	defer func() {
		for _, open := range f.files {
			err = errors.Join(err, open.drop())
		}
	}()
	f.scanner = wal.NewScanner(f.line.begin, wal.Options{SegmentSize: f.line.size, SystemID: f.first.SystemID, Verify: true, Each: func(r wal.Record) {
		if makesTablespace(r) {
			f.spaces = append(f.spaces, r)
		}
	}})
	err = f.line.read(ctx, f.line.begin.SegmentStart(f.line.size), f.line.goal, func(at wal.LSN, p []byte) error {
		return f.take(ctx, at, p)
	})
	if err != nil {
		return end{}, err
	}
	e = end{at: f.scanner.Boundary(), last: f.scanner.Last()}
	if e.last.Start == 0 {
		return end{}, damaged("no record ends between %s and the target %s", f.line.begin, f.line.goal)
	}
	for len(f.files) > 0 {
		open := f.files[0]
		f.files = f.files[1:]
		if open.start >= e.at {
			err = open.drop()
		} else if err = open.close(min(e.at, open.end())); err == nil {
			f.shelf.put(open.start, open.end(), open.name)
		}
		if err != nil {
			return end{}, err
		}
	}
	f.shelf.end()
	return e, nil
}

// take writes a piece of the log to its files, reads the records in it, and puts away the files that are done.
func (f *filler) take(ctx context.Context, at wal.LSN, p []byte) error {
	rest, pos := p, at
	for len(rest) > 0 {
		open, err := f.fileAt(ctx, pos)
		if err != nil {
			return err
		}
		if rest, err = open.put(pos, rest); err != nil {
			return err
		}
		pos = at + wal.LSN(len(p)-len(rest))
	}
	if at < f.line.begin {
		p = p[min(wal.LSN(len(p)), f.line.begin-at):]
	}
	if err := f.scanner.Feed(p); err != nil {
		return damaged("%w", err)
	}
	if f.count != nil {
		f.count(pos)
	}
	if err := f.move(); err != nil {
		return err
	}
	for len(f.files) > 0 && f.files[0].end() <= f.scanner.Boundary() {
		open := f.files[0]
		f.files = f.files[1:]
		if err := open.close(open.end()); err != nil {
			return err
		}
		f.shelf.put(open.start, open.end(), open.name)
	}
	return nil
}

// fileAt is the file that holds pos, begun if need be.
func (f *filler) fileAt(ctx context.Context, pos wal.LSN) (*segmentFile, error) {
	if n := len(f.files); n > 0 && pos < f.files[n-1].end() {
		return f.files[n-1], nil
	}
	if err := f.shelf.waitForRoom(ctx); err != nil {
		return nil, err
	}
	open, err := f.begin(f.line.name(pos), pos)
	if err == nil {
		f.files = append(f.files, open)
	}
	return open, err
}

// begin begins a file whose first byte that is at hand lies at pos.
func (f *filler) begin(name string, pos wal.LSN) (*segmentFile, error) {
	open, err := makeSegment(f.dir, name, pos.SegmentStart(f.line.size), f.line.size, f.user)
	if err != nil {
		return nil, err
	}
	if pos > open.start {
		err = open.head(pos, f.line.begin, f.first)
	}
	if err != nil {
		return nil, errors.Join(err, open.drop())
	}
	return open, nil
}

// move gives tablespaces that are made in the log another folder.
func (f *filler) move() error {
	for _, r := range f.spaces {
		patches, err := moveTablespace(f.files, r, f.place)
		if err != nil {
			return err
		}
		f.mu.Lock()
		f.patches = append(f.patches, patches...)
		f.mu.Unlock()
	}
	f.spaces = f.spaces[:0]
	return nil
}

// oncePrefix begins the names of files that are made for one request.
const oncePrefix = "once-"

// once makes the file that begins at start out of turn: the server reads the checkpoint before it goes back to where
// recovery begins, and may ask again for what it had. The server takes it, or asks for something else.
func (f *filler) once(ctx context.Context, start wal.LSN) (name string, err error) {
	name = oncePrefix + f.line.name(start)
	var open *segmentFile
	to := min(start+wal.LSN(f.line.size), f.line.goal)
	err = f.line.read(ctx, start, to, func(at wal.LSN, p []byte) (err error) {
		if open == nil {
			if open, err = f.begin(name, at); err != nil {
				return err
			}
		}
		_, err = open.put(at, p)
		return err
	})
	if open == nil {
		return "", errors.Join(err, os.ErrNotExist)
	}
	if err == nil {
		err = f.repeat(open)
	}
	if err != nil {
		return "", errors.Join(err, open.drop())
	}
	return name, open.close(to)
}

// repeat makes the changes in a file that were made when it was served in turn.
func (f *filler) repeat(open *segmentFile) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.patches {
		if open.start <= p.at && p.at < open.end() {
			if _, err := open.WriteAt([]byte{p.byte}, int64(p.at-open.start)); err != nil {
				return err
			}
		}
	}
	return nil
}
