package watch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/metrics"
	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/policy"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/retention"
	"github.com/backstaydb/backstay/internal/schedule"
)

// Source is one source, and what was promised for it.
type Source struct {
	Name  string
	Reads bool // this host has a key that can read it, so that drills and deep checks are done here

	Fingerprints bool // its data can be fingerprinted, and this host captures it
	config.Source
}

// Hands are what is done with sources. Each call may be repeated after an error or a crash; ctx ends it.
type Hands interface {
	// Base takes a base of a type.
	Base(ctx context.Context, source, kind string) (api.Base, error)
	// Drill recovers to a target ("random", "latest") on scratch, and asks what the owner wants asked.
	Drill(ctx context.Context, source, to string, checks []config.Check) (drill.Report, error)
	// Fingerprint has a digest taken of some of the data at the source, for drills to compare with.
	Fingerprint(ctx context.Context, source string) (Taken, error)
	// Check reads of a repository what was not read since a round began, and that which was not read for longest first; the report
	// says how much is left. What it has read counts, also if it is ended or killed.
	Check(ctx context.Context, source, repo string, c Check) (repository.CheckReport, error)
	// Repair replaces what is damaged from another repository of the source.
	Repair(ctx context.Context, source, repo string, damage []repository.Damage) (repository.Repaired, error)
	// Forget drops from a repository what was decided on, which may be nothing, and sees to it that nobody can delete the rest.
	Forget(ctx context.Context, source, repo string, order repository.Order) (repository.Dropped, error)
	// Move copies to a colder repository what was decided on, reads it there, and drops from the other what is proven.
	Move(ctx context.Context, source, repo string, m retention.Move) error
}

// Eyes are what is seen of sources.
type Eyes interface {
	// Status says how all sources are doing. It answers at once.
	Status(ctx context.Context) (api.Status, error)
	// Facts reads what a repository says of itself.
	Facts(ctx context.Context, source, repo string) (repository.Facts, error)
	// Ages says at which time or later every object of a repository was read, or written, last, and the same of deep checks; those
	// that are damaged aside. Zero: nobody knows.
	Ages(ctx context.Context, source, repo string) (shallow, deep time.Time, err error)
	// Free says how many bytes may still be written to the disk of a repository; known is false where it lies on none of this host's.
	Free(ctx context.Context, source, repo string) (bytes int64, known bool)
	// Drills reads the reports that the repositories of a source hold, the newest ones, in any order.
	Drills(ctx context.Context, source string) ([]drill.Report, error)
	// Checks reads what other hosts found when they checked a repository: the newest check of each kind.
	Checks(ctx context.Context, source, repo string) ([]Checked, error)
}

// Taken is what came of a Fingerprint.
type Taken struct {
	ID       string // in the repositories; "" if the source does not let us
	Refused  string // why it does not
	Hint     string // what would have to be granted
	Position history.Position
	Tables   int
	Rows     int64
	Bytes    int64 // that were read
}

// Checked is what came of a check that another host made.
type Checked struct {
	At     time.Time
	Deep   bool
	Damage []repository.Damage
}

// Config is what a Watch works with.
type Config struct {
	Sources  []Source
	Hands    Hands
	Eyes     Eyes
	Book     Book
	Audit    func(context.Context, audit.Entry) error // writes an entry down
	Notifier *notify.Notifier                         // nil: nobody is told
	Metrics  *metrics.Metrics                         // nil: nothing is shown
	Now      func() time.Time
	Log      *slog.Logger
}

// Watch keeps watch. Use New.
type Watch struct {
	c      Config
	runner *schedule.Runner

	happened chan happening
	changed  chan string // something was done to a source: look again
	began    time.Time   // Run

	mu      sync.Mutex
	sources map[string]*watched      // another one in its place after Replace
	kept    map[string][]api.Promise // by source, as they were judged last
	judged  time.Time
}

// watched is one source, and what was promised for it.
type watched struct {
	Source
	objectives policy.Objectives
	rules      retention.Rules

	*known
}

// known is what is known of a source beyond its status. It outlives what was promised.
type known struct {
	remembered

	mu        sync.Mutex
	told      map[string]policy.Finding // that were found last; nil before
	lookedAt  time.Time                 // its repositories
	end       string                    // where they ended then
	looked    bool                      // at its repositories, whether they answered or not
	noted     time.Time                 // when what is remembered was written down
	troubles  map[string]time.Time      // since when something is wrong
	histories map[string]seen           // by repository
	meters    map[string]*meter
	disks     map[string]policy.Disk // by repository
}

// seen is what a repository held when it was read last. Windows are worked out once: there are as many as there were gaps.
type seen struct {
	at       time.Time
	windows  []history.Window
	gaps     []history.Gap
	base     history.Base // the newest
	logBytes int64        // behind it, in full segments
	ages     ages
}

// ages are the oldest times at which some object was read.
type ages struct {
	at            time.Time // when that was asked for
	shallow, deep time.Time // zero: nobody knows
}

// see keeps of a history what is judged.
func see(h history.History, at time.Time) seen {
	s := seen{at: at, windows: h.Windows(), gaps: h.AllGaps()}
	for _, b := range h.Bases {
		if s.base.ID == "" || s.base.Stop.Before(b.Stop) {
			s.base = b
		}
	}
	for _, seg := range h.Segments {
		if !seg.Tip && s.base.Stop.Before(seg.To) {
			s.logBytes += seg.Bytes
		}
	}
	return s
}

// restore is what a restore to the newest moment needs.
func (s seen) restore() policy.Restore {
	return policy.Restore{LayBytes: s.base.Bytes, LogBytes: s.logBytes}
}

// newest is what the repository with the newest base holds. The caller holds the lock.
func (s *watched) newest() (newest seen) {
	for _, name := range s.Repositories {
		if h := s.histories[name]; newest.base.Stop.Before(h.base.Stop) {
			newest = h
		}
	}
	return newest
}

// New returns a watch that has read what is remembered, and has started nothing.
func New(ctx context.Context, c Config) (*Watch, error) {
	w := &Watch{c: c, happened: make(chan happening, maxHappenings), changed: make(chan string, maxHappenings), kept: map[string][]api.Promise{}, judged: c.Now()}
	if err := w.take(ctx, c.Sources); err != nil {
		return nil, err
	}
	var err error
	w.runner, err = schedule.New(ctx, schedule.Config{
		Jobs: jobsOf(c.Sources), Bounds: schedule.Bounds{All: 4, Class: map[string]int{classScratch: 1, classRead: 2}},
		Keep: states{c.Book}, Do: w.do, Now: c.Now, Log: c.Log,
	})
	return w, err
}

// Run has done what is due, and judges, until ctx ends; then it waits for what is running.
func (w *Watch) Run(ctx context.Context) error {
	w.began = w.c.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.runner.Run(ctx) })
	g.Go(func() error { return w.judge(ctx) })
	g.Go(func() error { return w.look(ctx) })
	g.Go(func() error { return w.tell(ctx) })
	if w.c.Notifier != nil {
		g.Go(func() error { return w.c.Notifier.Run(ctx) })
	}
	return g.Wait()
}
