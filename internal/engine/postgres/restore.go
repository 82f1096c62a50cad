package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// restorer restores as its placement says. The zero restorer leaves a primary with its tablespaces below the data.
type restorer struct {
	placement engine.Placement
	spaces    **spaces // of the last Replay, for Settle; nil where no tablespace is mapped
}

var (
	_ engine.Placer      = restorer{}
	_ engine.Settler     = restorer{}
	_ engine.Abandoner   = restorer{}
	_ engine.Preflighter = restorer{}
)

// Kind is "postgres".
func (restorer) Kind() string { return "postgres" }

// Place sees that the folders for tablespaces can be used.
func (restorer) Place(p engine.Placement) (engine.Restorer, error) {
	to := map[string]string{}
	for from, dir := range p.Tablespaces {
		dir, err := filepath.Abs(dir)
		if err == nil {
			err = vacant(dir)
		}
		if err != nil {
			return nil, fmt.Errorf("place tablespace %s: %w", from, err)
		}
		for other, taken := range to {
			if rel, err := filepath.Rel(taken, dir); err == nil && filepath.IsLocal(rel) {
				return nil, fmt.Errorf("place tablespace %s: %s is or lies in the folder for tablespace %s", from, dir, other)
			} else if rel, err := filepath.Rel(dir, taken); err == nil && filepath.IsLocal(rel) {
				return nil, fmt.Errorf("place tablespace %s: the folder for tablespace %s lies in %s", from, other, dir)
			}
		}
		to[strings.TrimSuffix(from, "/")] = dir
	}
	p.Tablespaces = to
	return restorer{placement: p, spaces: new(*spaces)}, nil
}

// Needs names what tells a base's version and what its server demands.
func (restorer) Needs() []string { return []string{"PG_VERSION", "global/pg_control"} }

// Preflight sees that a server of the base's version is here, and that its user can come to the data.
func (restorer) Preflight(_ context.Context, dir string) error {
	f, err := readFacts(dir)
	if err == nil {
		err = f.open()
	}
	return blamed(err)
}

// Replay recovers the base laid in dir with a private server of its version. It goes:
//
//  1. see what the data is and that a server for it is here; find the goal, and see that log and history files lead there
//  2. prepare the data: tablespaces, owner, the file that asks for recovery
//  3. start a server and serve it the log, which ends at the goal
//  4. wait until it has replayed all and promoted itself, or for a standby stopped; stop it
//  5. see that it stands where the log ended, and remove what was only for the recovery
//
// Files are not synced: who restores does that for all at once. Only tablespaces elsewhere are synced here.
func (r restorer) Replay(ctx context.Context, dir string, log engine.Log, to engine.Goal) (engine.Reached, error) {
	p := &replay{log: log, to: to, standby: r.placement.Standby}
	err := p.plan(ctx, dir)
	if err == nil {
		p.spaces = newSpaces(p.facts, r.placement.Tablespaces)
		if err = p.run(ctx); err != nil {
			err = errors.Join(err, p.spaces.abandon())
		} else if r.spaces != nil {
			*r.spaces = p.spaces
		}
	}
	if err != nil {
		return engine.Reached{}, blamed(err)
	}
	return p.reached, nil
}

// replay is one Replay under way.
type replay struct {
	log     engine.Log
	to      engine.Goal
	standby bool

	facts     facts
	goal      history.Position
	line      line
	histories map[uint32][]byte
	preload   preload
	loaded    []string // libraries that the server gets; see preload
	spaces    *spaces
	reached   engine.Reached
}

// plan finds out all that can be known before anything is changed.
func (p *replay) plan(ctx context.Context, dir string) (err error) {
	if p.facts, err = readFacts(dir); err != nil {
		return err
	}
	label, err := p.facts.label()
	if err != nil {
		return err
	}
	if p.goal, err = goalPosition(ctx, p.log, p.to, label, p.facts.control); err != nil {
		return err
	}
	p.line, err = newLine(p.log, uint64(p.facts.control.WALSegmentSize), wal.LSN(label.Start), wal.LSN(p.goal.Seq), p.goal.Timeline)
	if err != nil {
		return err
	}
	p.preload = p.facts.readPreload()
	p.histories, err = findHistories(ctx, p.log, p.line, p.facts, label)
	return err
}

func (p *replay) run(ctx context.Context) error {
	if err := p.prepare(); err != nil {
		return err
	}
	stood, err := p.serve(ctx)
	if number := unknownManager(err); number != "" {
		stood, err = p.serveLoaded(ctx, number)
	}
	if err != nil {
		return err
	}
	if err := p.check(stood); err != nil {
		return err
	}
	if err := p.clean(); err != nil {
		return err
	}
	p.reached = engine.Reached{Position: p.goal, Files: []string{"."}, Notes: p.notes(), Next: p.next()}
	p.reached.Time, err = lastCommit(ctx, p.log, p.goal)
	return err
}

// notes are what the person who restores should know.
func (p *replay) notes() (all []string) {
	for _, key := range p.spaces.unused() {
		all = append(all, fmt.Sprintf("no tablespace was at %s or has that number, so nothing was put into %s", key, p.spaces.to[key]))
	}
	if note := p.preload.note(); note != "" {
		all = append(all, note)
	}
	return all
}

// next tells how the server is started.
func (p *replay) next() string {
	dir := finalFolder(p.facts.dir)
	start := "start it with: " + p.facts.pgCtl(dir, "-l "+quoted(filepath.Join(dir, "server.log"))+" start")
	if p.standby {
		return fmt.Sprintf("a standby: set primary_conninfo in %s, then %s", filepath.Join(dir, autoConf), start)
	}
	return start
}

// prepare makes the data ready for a server.
func (p *replay) prepare() error {
	f := p.facts
	for _, name := range datadir.WALFolders(f.major) {
		if err := os.MkdirAll(f.path(name), 0o700); err != nil {
			return err
		}
	}
	// Log in the base would be replayed beyond the goal.
	entries, err := os.ReadDir(f.path("pg_wal"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() && !strings.HasSuffix(e.Name(), ".history") {
			if err := os.Remove(f.path("pg_wal/" + e.Name())); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{"standby.signal", "postmaster.pid"} {
		if err := remove(f.path(name)); err != nil {
			return err
		}
	}
	if err := os.Mkdir(f.path(serveFolder), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(f.path("recovery.signal"), nil, 0o600); err != nil {
		return err
	}
	// Nobody's settings but ours count while it is recovered.
	if err := os.Rename(f.path(autoConf), f.path(serveFolder+"/"+autoConf)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Chmod(f.dir, 0o700); err != nil {
		return err
	}
	if err := f.open(); err != nil {
		return err
	}
	return p.spaces.place()
}

// autoConf is what ALTER SYSTEM writes.
const autoConf = "postgresql.auto.conf"

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// stood is where a recovery ended.
type stood struct {
	end     end     // of the log that was served
	stopped wal.LSN // of a standby: the record that its server says it stopped after
}

// serveBytes is how much of the log is made ready ahead of the server.
const serveBytes = 256 << 20

// serve starts a server and gives it the log until it is done.
func (p *replay) serve(ctx context.Context) (s stood, err error) {
	f := p.facts
	fill := &filler{
		line: p.line, dir: f.path(serveFolder), user: f.user, place: p.spaces.alias,
		first: wal.PageHeader{
			Magic: magicOf(f.major), Timeline: p.line.timelines[0], SystemID: f.control.SystemID,
			SegmentSize: f.control.WALSegmentSize, PageSize: wal.PageSize,
		},
		shelf: newShelf(int(max(2, min(16, serveBytes/p.line.size))), p.line.begin.SegmentStart(p.line.size)),
	}
	if p.to.Progress != nil {
		first := p.line.begin.SegmentStart(p.line.size)
		fill.count = func(at wal.LSN) { p.to.Progress(int64(at-first), int64(p.line.goal-first)) }
	}
	service := &service{filler: fill, histories: p.histories, taken: p.to.Taken}
	if err := service.open(); err != nil {
		return s, err
	}
	g, ctx := errgroup.WithContext(ctx)
	filled := make(chan end, 1)
	g.Go(func() error {
		e, err := fill.fill(ctx)
		filled <- e
		return err
	})
	g.Go(func() error { return service.run(ctx) })
	g.Go(func() (err error) {
		// The server goes last: when it has ended nobody asks any more.
		defer func() { err = errors.Join(err, service.close()) }()
		s.stopped, err = p.recover(ctx, service, filled, &s.end)
		return err
	})
	return s, g.Wait()
}

// serveLoaded begins again, from the server's last restart point, with the libraries of the source that are here.
func (p *replay) serveLoaded(ctx context.Context, number string) (s stood, err error) {
	failed := &ManagerError{Number: number, preload: p.preload}
	if p.loaded = p.preload.here(); len(p.loaded) == 0 {
		return s, failed
	}
	if s, err = p.serve(ctx); unknownManager(err) != "" {
		return s, failed
	}
	return s, err
}

// recover runs the server until it has recovered, and stops it.
func (p *replay) recover(ctx context.Context, service *service, filled <-chan end, e *end) (stopped wal.LSN, err error) {
	settings := p.facts.replaySettings(p.line.timeline())
	if len(p.loaded) > 0 {
		settings["shared_preload_libraries"] = strings.Join(p.loaded, ",")
		settings["max_worker_processes"] = "0" // of theirs none is to act on the data
	}
	if p.standby {
		// Where the last record begins is known once the log was read to its end. So a standby waits for that.
		last, err := p.lastRecord(ctx)
		if err != nil {
			return 0, err
		}
		stopAt(settings, last.Start)
	}
	var said stopLine
	srv, err := server.Start(ctx, server.Config{
		Programs: p.facts.programs, Dir: p.facts.dir, User: p.facts.user, Settings: settings, Files: service.theirs, Line: said.hear,
	})
	if err != nil {
		return 0, err
	}
	err = service.started()
	if err == nil {
		err = p.wait(ctx, srv)
	}
	mode := server.Fast
	if err != nil {
		mode = server.Immediate
		// A shell that waits for an answer keeps its server from hearing that it has to stop.
		err = errors.Join(err, service.hangUp())
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if serr := srv.Stop(stop, mode); err == nil {
		err = serr
	}
	if err != nil {
		return 0, err
	}
	if !service.filler.shelf.hasEnded() {
		return 0, damaged("the server took the log for ended before %s", p.line.goal)
	}
	*e = <-filled
	return said.at, nil
}

// stopTimeout bounds how long a server may take to write what it has in memory.
const stopTimeout = 30 * time.Minute

// wait waits until a primary takes connections, or a standby has ended.
func (p *replay) wait(ctx context.Context, srv *server.Server) error {
	if !p.standby {
		return srv.Ready(ctx)
	}
	for {
		select {
		case <-srv.Done():
			if _, failed := errors.AsType[*exec.ExitError](srv.Err()); failed {
				return srv.Err()
			}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
			if srv.State() == server.Ready {
				return damaged("the server did not stop at its target but went on as a primary")
			}
		}
	}
}
