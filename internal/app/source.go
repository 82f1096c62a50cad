package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/archive"
	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres"
	"github.com/backstaydb/backstay/internal/repository"
)

// again is how long archive waits before it tries a lost source or store again.
var again = backoff.Policy{Min: 200 * time.Millisecond, Max: 30 * time.Second, Factor: 2}

// protected is one source of a running daemon.
type protected struct {
	name     string
	config   config.Source
	stores   map[string]string // URL of each repository
	kind     string
	archive  *archive.Archive // nil: another host captures it
	writers  *writers
	bytes    int64               // of the data, about; for progress
	sentinel *sentinel           // nil: none is written
	guide    *guide              // of a source that is a cluster; nil for others
	primary  func() string       // of that cluster, as this process knows it; set before run
	told     func(archive.Event) // hears what happens; set before run

	own func(ctx context.Context, take func(context.Context) error) error // stands around bases that nobody asked for; set before run

	mu       sync.Mutex
	lastBase archive.Took // of the base that was kept last
	class    string       // whose promises hold for it
	owner    string
	progress func(api.Progress)        // of the backup that is being asked for; nil while none is
	stored   int64                     // bytes of the base that is being taken
	seen     map[string]api.Repository // what was read of each repository last; only of a source that another host captures
}

// openSource looks at the source once, opens or makes its repositories, and builds its archive. A source that is away
// is waited for by the archive, but not at its very first start.
// g leads one that is a cluster; nil: the primary is asked for when it is connected to.
func (h *Host) openSource(ctx context.Context, name string, g *guide) (*protected, error) {
	cfg := h.Config.Sources[name]
	e, target, err := protectorOf(cfg.URL, h.Config)
	if err != nil {
		return nil, err
	}
	id, lookErr := look(ctx, e, target, engine.Options{Name: name, Log: h.Log, Now: h.Now})
	pinned, err := h.trusted(name)
	if err != nil {
		return nil, err
	}
	if lookErr != nil && (len(pinned) == 0 || ctx.Err() != nil) {
		return nil, &SourceError{Source: name, Err: lookErr}
	}
	w, err := h.newWriters(ctx, name, e.Kind(), id.SystemID)
	if err != nil {
		return nil, err
	}
	if g != nil {
		g.whole, g.log = openWhole(h.sourceState(name, "spool")), h.Log
	}
	p := &protected{name: name, guide: g, told: func(archive.Event) {}, config: cfg, kind: e.Kind(), writers: w, bytes: id.Bytes, stores: map[string]string{}, class: cfg.Class, owner: cfg.Owner}
	w.hears(p.hear)
	if group, ok := e.(postgres.Group); ok && g != nil {
		e = g.onto(group, p.safe)
	}
	p.sentinel = newSentinel(cfg.Sentinels(), e, target, engine.Options{Name: name, Log: h.Log, Now: h.Now})
	var repos []archive.Repo
	for _, r := range cfg.Repositories {
		p.stores[r] = h.Config.Repositories[r].Store
		repos = append(repos, archive.Repo{Name: r, Heartbeat: heartbeat(time.Duration(cfg.RPO)), Open: func(ctx context.Context) (*repository.Repository, error) { return w.get(ctx, r) }})
	}
	p.archive, err = archive.New(archive.Config{
		Source: name, Engine: e, Repos: repos, Dir: h.sourceState(name, "spool"),
		Connect: func(ctx context.Context) (engine.Source, error) {
			return e.Connect(ctx, target, engine.Options{Name: name, StateDir: h.sourceState(name, "engine"), Log: h.Log, Now: h.Now, Awaits: awaits(cfg), Confirmed: p.archive.Confirmed})
		},
		MaxSpool: cfg.Limit(), MaxHeld: cfg.MostHeld(), SegmentBytes: int64(cfg.SegmentSize), Ack: archive.Ack(cfg.Ack), Copies: cfg.Copies(), Retry: again, Log: h.Log, Now: h.Now, Events: p.hear, Own: p.takeOwn,
	})
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return p, nil
}

// awaits is in how many repositories a commit is when the source hears that it is safe; zero: in the spool.
func awaits(s config.Source) int {
	if archive.Ack(s.Ack) != archive.AckRepository {
		return 0
	}
	return s.Copies()
}

// heartbeat is how often a repository is told that nothing new was committed; zero leaves it to the store. Where people need not know
// within seconds, hundreds of sources that rest are to cost little.
func heartbeat(rpo time.Duration) time.Duration {
	if rpo == 0 || rpo >= 5*time.Minute {
		return time.Minute
	}
	return 0
}

// belong notes to which class and to whom it belongs now.
func (p *protected) belong(class, owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.class, p.owner = class, owner
}

func (p *protected) belongs() (class, owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.class, p.owner
}

// look connects to a source, asks what it is, and lets go of it.
func look(ctx context.Context, e engine.Protector, target string, o engine.Options) (engine.Identity, error) {
	source, err := e.Connect(ctx, target, o)
	if err != nil {
		return engine.Identity{}, err
	}
	id, err := source.Identify(ctx)
	return id, errors.Join(err, source.Close())
}

func (p *protected) run(ctx context.Context) error {
	if p.elsewhere() {
		<-ctx.Done()
		return errors.Join(p.writers.close(), ctx.Err())
	}
	var aside sync.WaitGroup
	ended := ctx.Err
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if p.guide != nil {
		aside.Go(func() { p.guide.run(ctx, p.primary) })
	}
	if p.sentinel != nil {
		aside.Go(func() { p.sentinel.run(ctx) })
	}
	err := p.archive.Run(ctx)
	stop()
	aside.Wait()
	err = errors.Join(err, p.writers.close())
	if err != nil {
		return err
	}
	return ended()
}

// hear passes the progress of a base on to whoever asked for it, and all else to who keeps watch.
func (p *protected) hear(e archive.Event) {
	if p.guide != nil && (e.Kind == archive.GapFound || e.Kind == archive.SpoolLost) {
		p.guide.whole.tear(p.guide.log)
	}
	p.mu.Lock()
	switch e.Kind {
	case archive.BaseDone:
		p.lastBase = e.Took // before whoever waits for the base goes on
	case archive.BaseStarted:
		p.stored = 0
	}
	p.mu.Unlock()
	p.told(e)
	if e.Kind != archive.BaseProgress {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stored = e.Done
	if p.progress != nil {
		p.progress(api.Progress{Phase: "base", Done: e.Done, Total: p.bytes})
	}
}

// baseStored is how many bytes of the base under way are stored.
func (p *protected) baseStored() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stored
}

func (p *protected) backup(ctx context.Context, progress func(api.Progress)) (api.Base, error) {
	if p.elsewhere() {
		return api.Base{}, &SourceError{Source: p.name, Err: errors.New("another host captures it, and takes its bases")}
	}
	p.mu.Lock()
	p.progress = progress
	p.mu.Unlock()
	base, err := p.archive.Backup(ctx)
	p.mu.Lock()
	p.progress = nil
	p.mu.Unlock()
	if err != nil {
		return api.Base{}, err
	}
	return api.BaseOf(p.name, base), nil
}
