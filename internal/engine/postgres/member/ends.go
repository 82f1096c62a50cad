package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// ending is the end of the log as it lies in the data directory of a server that does not write to it.
type ending struct {
	known    bool
	received history.Position
	system   string
}

func position(timeline uint32, at wal.LSN) history.Position {
	return history.Position{Timeline: timeline, Seq: uint64(at), Mark: at.String()}
}

// lies reads the end of the log from the disk, once for each stop of the server. One reads, and others wait for that.
func (s *Server) lies(ctx context.Context) (ending, error) {
	select {
	case s.scan <- struct{}{}:
		defer func() { <-s.scan }()
	case <-ctx.Done():
		return ending{}, ctx.Err()
	}
	s.mu.Lock()
	e := s.ends
	s.mu.Unlock()
	if e.known {
		return e, nil
	}
	e, err := endOf(s.c.Dir)
	if err != nil {
		return e, err
	}
	if pid, err := postmaster(s.c.Dir); err != nil || pid != 0 {
		return e, err // it may go on
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = e
	return e, nil
}

// endOf scans the log from the newest checkpoint on, record by record with their checksums, as recovery would, for as far as it goes. It costs
// about a second for a gigabyte.
func endOf(dir string) (ending, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ending{}, err
	}
	defer root.Close()
	control, _, err := datadir.ReadControl(root.FS())
	if err != nil {
		return ending{}, err
	}
	r := &logReader{dir: root.FS(), size: uint64(control.WALSegmentSize)}
	if err := r.list(); err != nil {
		return ending{}, err
	}
	end, err := r.end(control)
	if err != nil {
		return ending{}, fmt.Errorf("find the end of the log in %s: %w", dir, err)
	}
	e := ending{known: true, system: fmt.Sprint(control.SystemID)}
	e.received = position(r.holds(end), end)
	return e, nil
}

// logReader reads the segments in pg_wal, of the newest timeline that each is there of.
type logReader struct {
	dir     fs.FS
	size    uint64
	newest  map[wal.LSN]uint32 // by start: the newest timeline that there is a segment of
	highest uint32
}

func (r *logReader) list() error {
	entries, err := fs.ReadDir(r.dir, "pg_wal")
	if err != nil {
		return err
	}
	r.newest = map[wal.LSN]uint32{}
	for _, e := range entries {
		timeline, start, err := wal.ParseSegmentName(e.Name(), r.size)
		if err != nil {
			continue
		}
		r.newest[start] = max(r.newest[start], timeline)
		r.highest = max(r.highest, timeline)
	}
	return nil
}

// end is where the records end that begin with a checkpoint.
func (r *logReader) end(c datadir.Control) (wal.LSN, error) {
	at := c.Checkpoint
	s := wal.NewScanner(at, wal.Options{SegmentSize: r.size, SystemID: c.SystemID, Verify: true})
	buf := make([]byte, 1<<20)
	for start := at.SegmentStart(r.size); ; start += wal.LSN(r.size) {
		more, err := r.feed(s, start, buf)
		if err != nil {
			return 0, err
		}
		if !more {
			break
		}
	}
	if s.Boundary() == 0 {
		return 0, fmt.Errorf("there is no record at the newest checkpoint, %s", at)
	}
	return s.Boundary(), nil
}

// feed gives a segment to the scanner. It reports false at the end of the log.
func (r *logReader) feed(s *wal.Scanner, start wal.LSN, buf []byte) (more bool, err error) {
	timeline, ok := r.newest[start]
	if !ok {
		return false, nil
	}
	f, err := r.dir.Open("pg_wal/" + wal.SegmentName(timeline, start, r.size))
	if err != nil {
		return false, err
	}
	defer f.Close()
	if skip := int64(s.Pos() - start); skip > 0 {
		if _, err := f.(io.Seeker).Seek(skip, io.SeekStart); err != nil {
			return false, err
		}
	}
	for {
		n, err := f.Read(buf)
		if end := s.Feed(buf[:n]); end != nil {
			return false, nil
		}
		if errors.Is(err, io.EOF) {
			return s.Pos() == start+wal.LSN(r.size), nil
		}
		if err != nil {
			return false, err
		}
	}
}

// holds is the timeline of the byte before at: that of the newest segment there, or the one before where it had not begun yet.
func (r *logReader) holds(at wal.LSN) uint32 {
	timeline := r.newest[(at - 1).SegmentStart(r.size)]
	if timeline == 0 {
		timeline = r.highest
	}
	b, err := fs.ReadFile(r.dir, "pg_wal/"+wal.HistoryName(timeline))
	if err != nil {
		return timeline
	}
	h, err := wal.ParseHistory(timeline, b)
	if err != nil {
		return timeline
	}
	return h.Holds(at - 1)
}

// openLog lists the segments of a server that may run.
func openLog(dir string) (*openedLog, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	control, _, err := datadir.ReadControl(root.FS())
	if err == nil {
		r := &openedLog{logReader{dir: root.FS(), size: uint64(control.WALSegmentSize)}, root}
		if err = r.list(); err == nil {
			return r, nil
		}
	}
	return nil, errors.Join(err, root.Close())
}

type openedLog struct {
	logReader
	root *os.Root
}

func (r *openedLog) close() { _ = r.root.Close() } // nothing was written
