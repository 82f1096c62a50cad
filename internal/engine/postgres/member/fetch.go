package member

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// Lender gives log that lies outside of all servers.
type Lender interface {
	// Lend writes a tar of log behind a position, as far as whom has it: one that received it, or cluster.Repository. Each entry is a stretch of one
	// log file of size bytes, named FILE@OFFSET; histories come first. It fails where what comes next behind from is not there.
	Lend(ctx context.Context, whom string, from history.Position, size uint64, to io.Writer) error
}

// fetch puts log where a standby that follows nobody looks for it, again and again: into its pg_wal, as its own receiver would. It is replayed from
// there.
func (s *Server) fetch(ctx context.Context, whom string) error {
	nobody := map[string]string{"primary_conninfo": "", "primary_slot_name": "", "restore_command": "", "recovery_target_timeline": "latest", "wal_retrieve_retry_interval": "100ms"}
	if err := s.startStandby(ctx, nobody); err != nil {
		return err
	}
	e, err := endOf(s.c.Dir) // of what lies there: nobody writes it now
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(s.c.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	control, _, err := datadir.ReadControl(root.FS())
	if err != nil {
		return err
	}
	w := &logWriter{s: s, size: int64(control.WALSegmentSize)}
	r, pipe := io.Pipe()
	lent := make(chan error, 1)
	go func() {
		err := s.c.Lender.Lend(ctx, whom, e.received, uint64(w.size), pipe)
		_ = pipe.CloseWithError(err) // never fails
		lent <- err
	}()
	err = w.all(tar.NewReader(r))
	_ = r.CloseWithError(err) // never fails
	if lost := <-lent; lost != nil {
		err = lost
	}
	if err != nil {
		return fmt.Errorf("fetch log of %s behind %s from %s: %w", s.c.Name, e.received.Plain(), whom, err)
	}
	s.say("%s fetched %d bytes of log behind %s from %s", s.c.Name, w.bytes, e.received.Plain(), whom)
	return nil
}

// logWriter writes stretches of log into a data directory.
type logWriter struct {
	s     *Server
	size  int64 // of a log file
	bytes int64
}

func (w *logWriter) all(r *tar.Reader) error {
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.one(h, r); err != nil {
			return err
		}
	}
}

func (w *logWriter) one(h *tar.Header, r io.Reader) error {
	name, text, ok := strings.Cut(h.Name, "@")
	offset, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || offset < 0 || offset+h.Size > w.size {
		return fmt.Errorf("%q is no stretch of a log file", h.Name)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if _, err := wal.ParseHistoryName(name); err == nil {
		return w.s.put(w.s.path("pg_wal", name), data)
	}
	if _, _, err := wal.ParseSegmentName(name, uint64(w.size)); err != nil {
		return err
	}
	w.bytes += int64(len(data))
	path := w.s.path("pg_wal", name)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		whole := make([]byte, w.size) // a file of another size is an error to the server
		copy(whole[offset:], data)
		return w.s.put(path, whole)
	} else if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, offset)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
