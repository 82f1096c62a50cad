package postgres

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// stopLine hears where a server says that it stopped recovery (recoveryStopsAfter in xlogrecovery.c).
type stopLine struct{ at wal.LSN }

var stopMessage = regexp.MustCompile(`recovery stopping after WAL location \(LSN\) "([0-9A-F]+/[0-9A-F]+)"`)

func (s *stopLine) hear(line string) {
	if m := stopMessage.FindStringSubmatch(line); m != nil {
		s.at, _ = wal.ParseLSN(m[1]) // the expression admits nothing else
	}
}

// lastRecord finds the last record up to the goal. It reads from the last piece of the log back.
func (p *replay) lastRecord(ctx context.Context) (wal.Record, error) {
	for i := len(p.line.stretches) - 1; i >= 0; i-- {
		from := max(p.line.begin, p.line.stretches[i].from)
		s := wal.NewScanner(from, wal.Options{SegmentSize: p.line.size})
		err := p.line.read(ctx, from, p.line.goal, func(_ wal.LSN, b []byte) error { return s.Feed(b) })
		if _, bad := errors.AsType[*wal.EndError](err); bad {
			return wal.Record{}, damaged("%w", err)
		}
		if err != nil {
			return wal.Record{}, err
		}
		if s.Last().Start != 0 {
			return s.Last(), nil
		}
	}
	return wal.Record{}, damaged("no record ends between %s and the target %s", p.line.begin, p.line.goal)
}

// check sees that the server stands where the log ended. A server that meets damage takes it for the end of the log;
// so its own word, where it ended, must be what our reader of the same bytes says.
func (p *replay) check(s stood) error {
	control, _, err := datadir.ReadControl(os.DirFS(p.facts.dir))
	if err != nil {
		return err
	}
	if p.standby {
		if control.State != datadir.ShutDownInRecovery {
			return damaged("the server did not end as a standby: it is %s", control.State)
		}
		if s.stopped != s.end.last.Start {
			return damaged("the server stopped after the record at %s, the last one before %s is at %s", s.stopped, p.line.goal, s.end.last.Start)
		}
		return nil
	}
	if control.State != datadir.ShutDown {
		return damaged("the server did not end cleanly: it is %s", control.State)
	}
	from, err := forkOf(p.facts.dir, control.Timeline)
	if err != nil {
		return err
	}
	if from.Timeline != p.line.timeline() || from.At != s.end.at {
		return damaged("the server ended recovery at %s of timeline %d, the log ends at %s of timeline %d", from.At, from.Timeline, s.end.at, p.line.timeline())
	}
	return nil
}

// forkOf reads where a timeline of a data directory began.
func forkOf(dir string, timeline uint32) (wal.Switch, error) {
	text, err := os.ReadFile(filepath.Join(dir, "pg_wal", wal.HistoryName(timeline)))
	if errors.Is(err, fs.ErrNotExist) {
		return wal.Switch{}, damaged("the server did not begin a new timeline")
	}
	if err != nil {
		return wal.Switch{}, err
	}
	h, err := wal.ParseHistory(timeline, text)
	if err != nil {
		return wal.Switch{}, err
	}
	if len(h.Switches) == 0 {
		return wal.Switch{}, damaged("the history of timeline %d does not say where it began", timeline)
	}
	return h.Switches[len(h.Switches)-1], nil
}

// clean removes what only the recovery needed.
func (p *replay) clean() error {
	f := p.facts
	if err := os.Rename(f.path(serveFolder+"/"+autoConf), f.path(autoConf)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(f.path(serveFolder)); err != nil {
		return err
	}
	for _, name := range []string{"recovery.signal", "postmaster.opts", "backup_label.old", "tablespace_map.old"} {
		if err := remove(f.path(name)); err != nil {
			return err
		}
	}
	// A standby replays again, when it starts, what followed the last checkpoint: the log names the aliases.
	if err := p.spaces.settle(p.standby); err != nil {
		return err
	}
	if err := f.configure(); err != nil {
		return err
	}
	if p.standby {
		if err := os.WriteFile(f.path("standby.signal"), nil, 0o600); err != nil {
			return err
		}
	}
	for _, c := range p.spaces.claims {
		if err := syncTree(c.data()); err != nil {
			return err
		}
	}
	return f.user.Give(f.dir)
}

// syncTree syncs files first and then the folders that name them.
func syncTree(dir string) error {
	var folders []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		if d.IsDir() {
			folders = append(folders, p)
			return nil
		}
		file, err := os.OpenFile(p, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return errors.Join(file.Sync(), file.Close())
	})
	for i := len(folders) - 1; i >= 0 && err == nil; i-- {
		err = atomicfile.SyncDir(folders[i])
	}
	if err == nil {
		err = atomicfile.SyncDir(filepath.Dir(dir))
	}
	return err
}

// Abandon gives the folders elsewhere up.
func (r restorer) Abandon() error {
	if r.spaces == nil || *r.spaces == nil {
		return nil
	}
	return (*r.spaces).abandon()
}

// Settle makes the links of tablespaces below the data lead into its final folder, and gives the folder the owner and
// the permissions that the server demands. What was restored elsewhere moves to its place.
func (r restorer) Settle(_ context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	links, err := os.ReadDir(filepath.Join(dir, linksFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range links {
		to := filepath.Join(dir, spacesFolder, e.Name())
		if _, err := os.Stat(to); err != nil {
			continue // it is elsewhere
		}
		if err := relink(filepath.Join(dir, linksFolder, e.Name()), to); err != nil {
			return err
		}
	}
	if len(links) > 0 {
		if err := atomicfile.SyncDir(filepath.Join(dir, linksFolder)); err != nil {
			return err
		}
	}
	if r.spaces != nil && *r.spaces != nil {
		if err := (*r.spaces).arrive(dir); err != nil {
			return err
		}
	}
	return takeOver(dir)
}
