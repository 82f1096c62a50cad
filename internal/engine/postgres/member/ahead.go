package member

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// mostAhead bounds what is taken: the rest is streamed, and replayed as it comes.
const mostAhead = 4 << 30

// ahead takes the primary's log from the fork on while pg_rewind works, which uses the network little. A server that streamed it would make each
// piece durable by itself, and replay no faster than that: a gigabyte took as long again as the rewind. Whole segments are kept beside the data
// directory, where pg_rewind removes nothing, and get their names in pg_wal when it is done. Nothing rests on them: what is missing is streamed.
type ahead struct {
	s    *Server
	dir  string
	to   string // pg_wal, where it really is
	stop context.CancelFunc
	wait sync.WaitGroup
	done []string // names of segments that are whole and on the disk; valid after wait
}

// fetchAhead begins. It returns nil where there is nothing to fetch, or no place for it.
func (s *Server) fetchAhead(ctx context.Context, member string, up *upstream, size uint64) *ahead {
	if len(up.way.Switches) == 0 {
		return nil // no timeline led to it: nothing can have parted
	}
	begins := up.way.Switches[len(up.way.Switches)-1].At
	first, end := begins.SegmentStart(size)+wal.LSN(size), up.system.Flushed.SegmentStart(size)
	end = min(end, first+mostAhead)
	if first >= end {
		return nil
	}
	a := &ahead{s: s}
	var err error
	if a.dir, a.to, err = s.besideLog(); err != nil {
		return nil
	}
	if err := a.prepare(); err != nil {
		_ = os.RemoveAll(a.dir) // it is in nobody's way
		return nil
	}
	ctx, a.stop = context.WithCancel(ctx)
	a.wait.Go(func() {
		if err := a.fetch(ctx, member, up.system.Timeline, first, end, size); err != nil && ctx.Err() == nil {
			s.say("log that %s lacks is streamed later: %v", s.c.Name, plain(err))
		}
	})
	return a
}

// besideLog is a folder on the disk of pg_wal that is not in the data directory, and pg_wal.
func (s *Server) besideLog() (dir, to string, err error) {
	if to, err = filepath.EvalSymlinks(s.path("pg_wal")); err != nil {
		return "", "", err
	}
	if own, err := filepath.EvalSymlinks(s.c.Dir); err == nil && filepath.Dir(to) == own {
		return own + ".ahead", to, nil
	}
	return to + ".ahead", to, nil
}

// prepare makes the folder, and sees that files can get from there to pg_wal without being copied.
func (a *ahead) prepare() error {
	if err := os.RemoveAll(a.dir); err != nil {
		return err
	}
	if err := os.Mkdir(a.dir, 0o700); err != nil {
		return err
	}
	try, there := filepath.Join(a.dir, "try"), filepath.Join(a.to, ".backstay-try")
	if err := os.WriteFile(try, nil, 0o600); err != nil {
		return err
	}
	if err := os.Rename(try, there); err != nil {
		return err
	}
	return os.Remove(there)
}

func (a *ahead) fetch(ctx context.Context, member string, timeline uint32, first, end wal.LSN, size uint64) error {
	up, err := a.s.upstream(ctx, member) // the stream takes its connection
	if err != nil {
		return err
	}
	defer up.close()
	stream, err := up.conn.Stream(ctx, replication.StreamOptions{From: first, Timeline: timeline})
	if err != nil {
		return err
	}
	defer stream.Close()
	var rest []byte
	for at := first; at < end; at += wal.LSN(size) {
		name := wal.SegmentName(timeline, at, size)
		if rest, err = a.segment(stream, filepath.Join(a.dir, name), at, size, rest); err != nil {
			return err
		}
		a.done = append(a.done, name)
	}
	return nil
}

var errGap = errors.New("the stream leaves something out")

// segment writes one, which begins with what came with the one before. It returns what came of the next.
func (a *ahead) segment(stream *replication.Stream, path string, at wal.LSN, size uint64, data []byte) (rest []byte, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	for next, end := at, at+wal.LSN(size); ; {
		n := min(len(data), int(end-next))
		if _, err := f.Write(data[:n]); err != nil {
			return nil, err
		}
		if next += wal.LSN(n); next == end {
			rest = slices.Clone(data[n:]) // the stream's own until it is asked again
			break
		}
		m, err := stream.Receive()
		if err == nil && m.Reply {
			err = stream.Confirm(replication.Status{Time: time.Now()})
		}
		if err == nil && len(m.Data) > 0 && m.Start != next {
			err = errGap
		}
		if err != nil {
			return nil, err
		}
		data = m.Data
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return rest, a.s.user.Give(path)
}

// end ends the fetching and, where the rewind was done, hands over what is whole. It returns how many segments those are.
func (a *ahead) end(rewound bool) (n int, err error) {
	if a == nil {
		return 0, nil
	}
	a.stop()
	a.wait.Wait()
	for _, name := range a.done {
		if !rewound || err != nil {
			break
		}
		if err = os.Rename(filepath.Join(a.dir, name), filepath.Join(a.to, name)); err == nil {
			n++
		}
	}
	if err == nil && n > 0 {
		err = atomicfile.SyncDir(a.to)
	}
	return n, errors.Join(err, os.RemoveAll(a.dir))
}
