package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

// DamageKind says what is wrong.
type DamageKind string

// The kinds of damage.
const (
	Missing    DamageKind = "missing"    // a listed object is not there
	Altered    DamageKind = "altered"    // it is not the bytes that are listed
	BadContent DamageKind = "content"    // it cannot be decrypted, or does not hold what it must (deep)
	BadLedger  DamageKind = "ledger"     // an object of the ledger does not count, or is damaged
	Rollback   DamageKind = "rollback"   // the repository is older than what this host saw, or was rewritten
	BadKey     DamageKind = "key"        // a key object does not count
	Unlisted   DamageKind = "unlisted"   // an object that no signed checkpoint lists: forged, or left by a crash
	Broken     DamageKind = "continuity" // log is missing between listed segments, and no gap was recorded
)

// Damage is one thing that is wrong.
type Damage struct {
	Object  string     `json:"object"` // its name in the store
	Kind    DamageKind `json:"kind"`
	Want    string     `json:"want,omitempty"`
	Got     string     `json:"got,omitempty"`
	Detail  string     `json:"detail"`
	Affects string     `json:"affects"` // what can no longer be done, for people
}

func (d Damage) String() string {
	s := fmt.Sprintf("%s: %s: %s", d.Object, d.Kind, d.Detail)
	if d.Want != "" || d.Got != "" {
		s += fmt.Sprintf(": want %s, got %s", d.Want, d.Got)
	}
	return s
}

// CheckOptions say how much is read.
type CheckOptions struct {
	// Deep decrypts and decodes everything and compares every block; it needs a reader's key. Without it every object
	// is read and compared with its listed digest.
	Deep     bool
	Progress func(done, total int64) // bytes as stored; may be nil

	// Only are the names, as the ledger lists them, of what is read, in this order; nil: all, tips too. Keys, the ledger, what
	// nothing lists and whether log is missing are looked at in any case.
	Only []string

	// Until is when nothing more begins to be read, though one object is in any case; a base is read as a whole. Zero: no bound.
	Until time.Time

	// Read is told of each object that was read to its end, a base with all that belongs to it, and whether it is as it must be:
	// detail is "" then. One call at a time; may be nil. What it was told counts, also if Check is ended or killed later.
	Read func(o Object, detail string)
}

// CheckReport is what Check found.
type CheckReport struct {
	Objects int      `json:"objects"`        // read and compared
	Left    int      `json:"left,omitempty"` // objects that were to be read, and a base counts as one, when CheckOptions.Until came
	Bytes   int64    `json:"bytes"`
	Damage  []Damage `json:"damage"`
	// Orphans are objects of bases and tips that nothing lists: being written now, or left by a writer that crashed, and
	// what was dropped and could not be deleted yet. They do not count, and Sweep removes them when they are a day old.
	Orphans []store.Object `json:"orphans"`
}

// Check reads the repository and compares it with what is signed. It goes on after damage; the error is for a store
// that fails, or a key that is missing, not for damage.
func (r *Repository) Check(ctx context.Context, o CheckOptions) (CheckReport, error) {
	c := &checker{r: r, o: o}
	if o.Deep && !r.CanRead() {
		return c.report, &NoKeyError{Source: r.source, Need: "deep check"}
	}
	if err := c.run(ctx); err != nil {
		return c.report, fmt.Errorf("check %s in %s: %w", r.source, r.store, err)
	}
	slices.SortStableFunc(c.report.Damage, func(a, b Damage) int { return strings.Compare(a.Object, b.Object) })
	return c.report, nil
}

type checker struct {
	r *Repository
	o CheckOptions

	stored   map[string]store.Object // by name, as listed at the start
	listed   map[string]bool         // names in the store that count
	spared   map[string]bool         // bases that count and are not read, as sweepUnit names them
	hist     history.History
	bases    map[string]int64 // bytes stored, by the name of the manifest
	segments map[string]history.Segment
	dropped  []history.Segment // only positions

	mu     sync.Mutex
	report CheckReport
	done   int64
	total  int64
}

func (c *checker) run(ctx context.Context) error {
	// The listing comes before the head: what was on its way while it was made is listed by the head.
	objects, err := listObjects(ctx, c.r.store, c.r.source+"/")
	if err != nil {
		return err
	}
	c.stored, c.listed = map[string]store.Object{}, map[string]bool{}
	for _, o := range objects {
		c.stored[o.Name] = o
	}
	if err := c.keys(ctx); err != nil {
		return err
	}
	todo, readable, err := c.ledger(ctx)
	if err != nil || !readable {
		return err
	}
	for _, o := range todo {
		c.listed[c.r.object(o.Name)] = true
	}
	if err := c.read(ctx, c.units(todo)); err != nil {
		return err
	}
	c.continuity()
	return c.unlisted(ctx)
}

func (c *checker) add(d Damage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Damage = append(c.report.Damage, d)
}

// keys looks at the key objects.
func (c *checker) keys(ctx context.Context) error {
	err := c.r.reloadKeys(ctx)
	var bad *KeyError
	var wrong *WrongKeyError
	switch {
	case errors.As(err, &bad):
		c.add(Damage{Object: c.r.object("key"), Kind: BadKey, Detail: bad.Reason, Affects: "everything: without it nothing can be read here"})
		return nil // what was read when the repository was opened is still good
	case errors.As(err, &wrong), errors.Is(err, fs.ErrNotExist):
		c.add(Damage{Object: c.r.object("key"), Kind: BadKey, Detail: err.Error(), Affects: "everything: without it nothing can be read here"})
		return nil
	case err != nil:
		return err
	}
	for _, d := range c.r.ring().rejected {
		c.add(d)
	}
	return nil
}

// ledger looks at the log and returns what it lists; readable is false if nothing can be said.
func (c *checker) ledger(ctx context.Context) (todo []Object, readable bool, err error) {
	look := func(head ledger.Checkpoint, _ []ledger.Ignored) (err error) {
		todo, c.dropped = c.r.fold.listed(head), c.r.fold.droppedSegments()
		c.hist, err = c.r.fold.history(c.r.source, head)
		return err
	}
	err = c.r.view(ctx, look)
	var rollback *ledger.RollbackError
	if errors.As(err, &rollback) {
		c.rolledBack(rollback)
		// What is there now can still be compared with itself.
		o := c.r.o
		o.Seen = nil
		if c.r, err = newRepository(c.r.store, o, c.r.ring()); err != nil {
			return nil, false, err
		}
		err = c.r.view(ctx, look)
	}
	if c.lost(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	bad, err := c.r.ledger.Audit(ctx)
	for _, i := range bad {
		c.add(Damage{Object: i.Object, Kind: BadLedger, Detail: i.Reason, Affects: "it does not count; what it alone lists cannot be recovered"})
	}
	return todo, true, err
}

func (c *checker) rolledBack(e *ledger.RollbackError) {
	c.add(Damage{Object: c.r.object("ledger"), Kind: Rollback, Detail: e.Detail,
		Want: fmt.Sprintf("checkpoint %d or newer, with %d leaves or more", e.Seen.Number, e.Seen.Size),
		Got:  fmt.Sprintf("checkpoint %d with %d leaves", e.Got.Number, e.Got.Size), Affects: "everything after what is there now is lost here"})
}

// lost notes an error that leaves nothing to go by.
func (c *checker) lost(err error) bool {
	var corrupt *ledger.CorruptError
	var untrusted *ledger.UntrustedError
	d := Damage{Kind: BadLedger, Affects: "everything: nothing shows what counts"}
	switch {
	case errors.As(err, &corrupt):
		d.Object, d.Detail, d.Want, d.Got = corrupt.Object, corrupt.Detail, corrupt.Want, corrupt.Got
	case errors.As(err, &untrusted):
		for _, i := range untrusted.Ignored {
			d.Object, d.Detail = i.Object, i.Reason
			c.add(d)
		}
		return true
	default:
		return false
	}
	c.add(d)
	return true
}

// damaged notes a damaged object, unless it is a tip or a dropped object that went meanwhile.
func (c *checker) damaged(ctx context.Context, u *unit, o Object, e *CorruptError) error {
	kind := Altered
	if e.Err != nil {
		kind = Missing
		if !c.stands(ctx, o.Name) {
			return nil
		}
	}
	c.addTo(u, Damage{Object: e.Object, Kind: kind, Want: e.Want, Got: e.Got, Detail: e.Detail, Affects: c.affects(o.Name)})
	return nil
}

// stands reports whether an object, or the base that it belongs to, is still listed, as far as can be said.
func (c *checker) stands(ctx context.Context, name string) bool {
	stands := false
	err := c.r.ledger.View(ctx, func(head ledger.Checkpoint, _ []ledger.Ignored) error {
		for _, l := range c.r.fold.listed(head) {
			stands = stands || sweepUnit(l.Name) == sweepUnit(name)
		}
		return nil
	})
	return stands || err != nil
}

func (c *checker) count(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Bytes += n
	c.done += n
	if c.o.Progress != nil {
		c.o.Progress(c.done, c.total)
	}
}

// affects says what a damaged object means.
func (c *checker) affects(name string) string {
	folder, rest, _ := strings.Cut(name, "/")
	switch folder {
	case "base":
		id, _, _ := strings.Cut(rest, "/")
		return fmt.Sprintf("base %s, and moments for which no other base is near", id)
	case "log", "tip":
		for _, s := range c.hist.Segments {
			if s.Name == name {
				return fmt.Sprintf("moments after %s (position %s) that are recovered from a base before it", s.Since.UTC().Format("2006-01-02T15:04:05.000Z"), s.From)
			}
		}
	case "report":
		return "the record of a drill"
	case "key", "key-copy":
		return "who can read and who may sign"
	}
	return "unknown"
}

// continuity looks for log that is missing between listed segments, was not dropped, and has no recorded gap.
func (c *checker) continuity() {
	for _, g := range c.hist.AllGaps() {
		recorded := slices.ContainsFunc(c.hist.Gaps, func(r history.Gap) bool {
			return r.From.Compare(g.To) <= 0 && g.From.Compare(r.To) <= 0
		})
		if g.From.Equal(g.To) || recorded || slices.ContainsFunc(c.dropped, func(d history.Segment) bool {
			return d.From.Seq < g.To.Seq && g.From.Seq < d.To.Seq
		}) {
			continue
		}
		c.add(Damage{Object: c.r.object("log"), Kind: Broken, Detail: fmt.Sprintf("no log from %s to %s (%s)", g.From, g.To, g.Reason),
			Affects: "moments between " + g.Since.UTC().Format("2006-01-02T15:04:05.000Z") + " and " + g.Until.UTC().Format("2006-01-02T15:04:05.000Z")})
	}
}

// unlisted looks for objects that nothing lists.
func (c *checker) unlisted(ctx context.Context) error {
	// What was put before the listing may have been listed since.
	dropped := map[string]bool{}
	err := c.r.ledger.View(ctx, func(head ledger.Checkpoint, _ []ledger.Ignored) error {
		for _, o := range c.r.fold.listed(head) {
			c.listed[c.r.object(o.Name)] = true
		}
		for name := range c.r.fold.dropped {
			dropped[c.r.object(name)] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, o := range c.stored {
		folder, _, _ := strings.Cut(strings.TrimPrefix(name, c.r.source+"/"), "/")
		if c.listed[name] || c.spared[sweepUnit(c.r.relative(o))] || folder == "ledger" || folder+"/" == claimFolder {
			continue
		}
		if folder == "base" || folder == "tip" || dropped[name] {
			c.report.Orphans = append(c.report.Orphans, o)
			continue
		}
		if _, err := c.r.store.Stat(ctx, name); err != nil {
			continue // it went meanwhile
		}
		c.add(Damage{Object: name, Kind: Unlisted, Detail: "no signed checkpoint lists it", Affects: "nothing: it is not used; a crash left it, or somebody who may not sign put it there"})
	}
	slices.SortFunc(c.report.Orphans, func(a, b store.Object) int { return strings.Compare(a.Name, b.Name) })
	return nil
}
