package member

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/history"
)

// Rejoin implements agent.Server:
//
//	1 the member is primary on the timeline that the state names
//	2 the server ends cleanly, so that its data is as its log says
//	3 its log is not whole from now on (begun)
//	4 what no other member has of it is copied aside
//	5 a rewind takes back what parted, or, where that can't be, the data is copied anew
//	6 the settings are this member's again, and the server starts as a standby
func (s *Server) Rejoin(ctx context.Context, member string, timeline uint32, begun func(history.Position) error) error {
	s.acting.Lock()
	defer s.acting.Unlock()
	up, err := s.upstream(ctx, member)
	if err != nil {
		return err
	}
	defer up.close()
	if err := up.primaryOf(ctx, timeline); err != nil {
		return fmt.Errorf("rejoin %s to %s: %w", s.c.Name, member, err)
	}
	settings, err := s.following(member)
	if err != nil {
		return err
	}
	if err := s.keepArguments(); err != nil { // a rewind and a copy take the file away
		return err
	}
	if dir, _, err := s.besideLog(); err == nil {
		_ = os.RemoveAll(dir) // of a try that broke off; the next one says if it is in the way
	}
	whole := position(up.system.Timeline, up.system.Flushed)
	if s.empty() {
		err = s.anew(ctx, member, up, whole, begun)
	} else {
		err = s.back(ctx, member, up, whole, begun)
	}
	if err != nil {
		return fmt.Errorf("rejoin %s to %s: %w", s.c.Name, member, err)
	}
	if err := s.startStandby(ctx, settings); err != nil {
		return err
	}
	if err := os.Remove(s.mark()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// back takes a server with data back to where its log parted.
func (s *Server) back(ctx context.Context, member string, up *upstream, whole history.Position, begun func(history.Position) error) error {
	hurried := make(chan struct{})
	go func() { // while this one's server ends, which takes as long
		defer close(hurried)
		s.hurry(ctx, member)
	}()
	err := s.recover(ctx)
	<-hurried
	if err != nil {
		return err
	}
	e, err := endOf(s.c.Dir)
	if err != nil {
		return err
	}
	if e.system != up.system.ID { // nothing of another server's is discarded
		return fmt.Errorf("%s has system id %s, and %s has %s: they are no copies of one server", s.c.Name, e.system, member, up.system.ID)
	}
	if err := up.conn.CreateSlot(ctx, slot(s.c.Name)); err != nil && code(err) != alreadyThere {
		return plain(err) // what it is to stream later must not go meanwhile
	}
	fork := up.forked(e.received)
	switch {
	case fork == nil && s.missed(ctx, member, up, e.received):
		s.say("%s has no log any more from %s on, where that of %s ends, which is copied anew", member, e.received.Plain(), s.c.Name)
		return s.anew(ctx, member, up, whole, begun)
	case fork == nil:
		return nil // it only has to follow
	}
	if err := begun(whole); err != nil {
		return err
	}
	saved, err := s.saveTail(*fork, e.received)
	if err != nil {
		return err
	}
	if s.c.Saved != nil {
		s.c.Saved(*fork, e.received, saved)
	}
	// Half a rewind can't be gone on with, and one that is done is not on the disk before the server has started on it: until then the data
	// counts for nothing, whatever ends this.
	if err := atomicfile.Write(s.mark(), nil, 0o600); err != nil {
		return err
	}
	rerr := s.rewind(ctx, member, up, *fork)
	if rerr == nil || ctx.Err() != nil {
		return rerr
	}
	s.say("%s can't be rewound, and is copied anew: %v", s.c.Name, rerr)
	return s.anew(ctx, member, up, whole, func(history.Position) error { return nil })
}

// recover has the server replay its log and end cleanly, which a rewind needs.
func (s *Server) recover(ctx context.Context) error {
	pid, err := postmaster(s.c.Dir)
	if err != nil {
		return err
	}
	if pid == 0 {
		if err := s.startStandby(ctx, map[string]string{"primary_conninfo": "", "restore_command": ""}); err != nil {
			return err
		}
	}
	return s.stopCleanly(ctx)
}

// anew fills the data directory with a copy. A mark says that it is not one yet, across whatever ends this.
func (s *Server) anew(ctx context.Context, member string, up *upstream, whole history.Position, begun func(history.Position) error) error {
	p := s.c.Programs
	if p.Dir == "" {
		found, err := server.Find(up.conn.Version())
		if err != nil {
			return err
		}
		p = found
	}
	if s.c.Recloner == nil && !p.Has("pg_basebackup") { // what is there is worth more than nothing
		return fmt.Errorf("copy %s: %s has no pg_basebackup, and no repository to copy from", member, p.Dir)
	}
	own, err := s.keepOwn()
	if err != nil {
		return err
	}
	if err := atomicfile.Write(s.mark(), nil, 0o600); err != nil {
		return err
	}
	if err := begun(whole); err != nil {
		return err
	}
	if err := s.Stop(ctx); err != nil {
		return err
	}
	if s.c.Recloner != nil {
		if err := s.hold(ctx, up); err != nil {
			return err
		}
	}
	waldir, err := s.clear()
	if err != nil {
		return err
	}
	if err := s.copyFrom(ctx, p, member, waldir, up.system.Timeline); err != nil {
		return err
	}
	return s.giveBack(own)
}

// clear empties the data directory, which may be a mount point, and what its links lead to. It returns where the log was, if that is elsewhere.
func (s *Server) clear() (waldir string, err error) {
	if to, err := os.Readlink(s.path("pg_wal")); err == nil {
		waldir = to
		if err := empty(waldir, ""); err != nil {
			return "", err
		}
	}
	spaces, err := filepath.Glob(s.path("pg_tblspc", "*"))
	if err != nil {
		return "", err
	}
	for _, link := range spaces {
		if to, err := os.Readlink(link); err == nil {
			if err := empty(to, "PG_"); err != nil { // others may have files there
				return "", err
			}
		}
	}
	if err := os.MkdirAll(s.c.Dir, 0o700); err != nil {
		return "", err
	}
	return waldir, empty(s.c.Dir, "")
}

// empty removes what is in a folder and has a name that begins with prefix.
func empty(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// hold has the primary keep all log from now on: what a repository will have when a copy is laid may be older than what the primary has by then.
func (s *Server) hold(ctx context.Context, up *upstream) error {
	if err := up.conn.DropSlot(ctx, slot(s.c.Name)); err != nil && code(err) != undefinedObject {
		return plain(err)
	}
	if err := up.conn.CreateSlot(ctx, slot(s.c.Name)); err != nil && code(err) != alreadyThere {
		return plain(err)
	}
	return nil
}

// reclone lays the empty data directory from a repository, which reads no member.
func (s *Server) reclone(ctx context.Context, waldir string, timeline uint32) error {
	if waldir != "" {
		return fmt.Errorf("its log lies in %s, outside of the data", waldir)
	}
	begun := time.Now()
	if err := s.c.Recloner.Reclone(ctx, s.c.Dir, timeline); err != nil {
		return err
	}
	if err := s.own(); err != nil {
		return err
	}
	s.say("%s was laid from a repository in %s", s.c.Name, time.Since(begun).Round(time.Millisecond))
	return nil
}

// own gives the data to the server's user: who restored it may be another one.
func (s *Server) own() error {
	return filepath.WalkDir(s.c.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return s.user.Give(path)
	})
}

// copyFrom fills the empty data directory.
func (s *Server) copyFrom(ctx context.Context, p server.Programs, member, waldir string, timeline uint32) error {
	conninfo := s.c.Members[member]
	if s.c.Recloner != nil {
		err := s.reclone(ctx, waldir, timeline)
		if err == nil || ctx.Err() != nil || !p.Has("pg_basebackup") {
			return err
		}
		s.say("%s can't be laid from a repository, and is copied from %s: %v", s.c.Name, member, err)
	}
	if err := s.user.Give(s.c.Dir); err != nil {
		return err
	}
	arguments := []string{"-D", s.c.Dir, "-d", conninfo, "-X", "stream", "--checkpoint=fast", "--no-password"}
	if waldir != "" {
		arguments = append(arguments, "--waldir="+waldir)
	}
	if out, err := combined(ctx, p.Command(s.user, "pg_basebackup", arguments...)); err != nil {
		return fmt.Errorf("copy %s: %w: %s", member, err, tail(out))
	}
	return nil
}

func tail(out string) string {
	out = strings.TrimSpace(out)
	return out[max(0, len(out)-600):]
}

func (s *Server) aside(name ...string) string {
	return filepath.Join(append([]string{s.c.Aside}, name...)...)
}

// mark is there while the data directory holds an unfinished copy.
func (s *Server) mark() string { return s.aside("unfinished") }
