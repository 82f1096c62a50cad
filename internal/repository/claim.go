package repository

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

const (
	claimFolder = "claim/"
	defaultHold = time.Hour
	maxHold     = 24 * time.Hour // a claim never counts for longer: whoever reads on renews it
	claimGrace  = time.Minute    // what the clocks of one store may differ by
	maxClaim    = 1 << 20        // bytes
)

// Reading says what somebody reads, and until when.
type Reading struct {
	By    string    `json:"by"`    // in words: "restore on db2"
	Bases []string  `json:"bases"` // IDs, with those that they build on
	Log   *LogSpan  `json:"log,omitempty"`
	Until time.Time `json:"until"` // by the reader's clock, for people
}

// LogSpan is a stretch of log, by sequence alone: on every timeline.
type LogSpan struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// claimBody is what a claim object holds.
type claimBody struct {
	Format int `json:"format"`
	Reading
	Seconds int64 `json:"seconds"` // for how long it counts, from when the store says that it was created
}

// Claim is a promise to whoever drops or sweeps that something is being read. Use Repository.Claim.
type Claim struct {
	r       *Repository
	reading Reading
	hold    time.Duration
	pinned  []string // names
	tips    []string // names among them, as they were listed when the chain was planned

	mu   sync.Mutex
	name string // of the object that counts now
}

// Claim announces that all of a chain is going to be read, for so long: zero means an hour, and more than a day is a
// day. It needs no signer. The order is what makes it safe: the claim is durable first, then the ledger is looked at. So
// either a drop finds the claim and leaves the objects alone, or this finds the drop and says so, by UnlistedError.
//
// While it is held, what it claims can be opened through this Repository though it is dropped meanwhile, or, as tips are all the
// time, replaced. A chain without a base claims its segments.
func (r *Repository) Claim(ctx context.Context, chain history.Chain, by string, hold time.Duration) (*Claim, error) {
	if hold <= 0 {
		hold = defaultHold
	}
	c := &Claim{r: r, reading: Reading{By: by}, hold: min(hold, maxHold)}
	if err := c.describe(ctx, chain); err != nil {
		r.pins.remove(c.pinned)
		return nil, fmt.Errorf("claim what %s reads of %s: %w", by, r.source, err)
	}
	name, err := c.put(ctx)
	if err != nil {
		r.pins.remove(c.pinned)
		return nil, fmt.Errorf("claim what %s reads of %s: %w", by, r.source, err)
	}
	c.name = name
	killpoint.At(killpoint.Claimed)
	if err := c.confirm(ctx, chain); err != nil {
		return nil, errors.Join(fmt.Errorf("claim what %s reads of %s: %w", by, r.source, err), c.Release(ctx))
	}
	return c, nil
}

// describe says what the chain needs.
func (c *Claim) describe(ctx context.Context, chain history.Chain) error {
	if len(chain.Segments) > 0 {
		span := &LogSpan{From: chain.Segments[0].From.Seq, To: chain.Segments[0].To.Seq}
		for _, s := range chain.Segments {
			span.From, span.To = min(span.From, s.From.Seq), max(span.To, s.To.Seq)
		}
		c.reading.Log = span
	}
	if err := c.pinTips(ctx, chain); err != nil {
		return err
	}
	return c.r.view(ctx, func(ledger.Checkpoint, []ledger.Ignored) error {
		for id := chain.Base.ID; id != "" && !slices.Contains(c.reading.Bases, id); id = c.r.fold.bases[manifestName(id)].Parent {
			c.reading.Bases = append(c.reading.Bases, id)
		}
		return nil
	})
}

// pinTips pins the tips of the chain while the head that it was planned from is at hand: the next one may list others.
func (c *Claim) pinTips(ctx context.Context, chain history.Chain) error {
	return c.r.ledger.Peek(ctx, func(head ledger.Checkpoint) error {
		listed := map[string]ledger.Tip{}
		for _, t := range head.Tips {
			listed[t.Name] = t
		}
		for _, s := range chain.Segments {
			t, ok := listed[s.Name]
			if !s.Tip || !ok {
				continue
			}
			body, err := tipBody(t)
			if err != nil {
				return err
			}
			c.r.pins.add(t.Name, pin{object: tipObject(t), segment: body})
			c.pinned, c.tips = append(c.pinned, t.Name), append(c.tips, t.Name)
		}
		return nil
	})
}

// put stores a claim object that counts from now on.
func (c *Claim) put(ctx context.Context) (name string, err error) {
	now := c.r.o.Now().UTC()
	c.reading.Until = now.Add(c.hold)
	b, err := json.Marshal(claimBody{Reading: c.reading, Seconds: int64(c.hold / time.Second)})
	if err != nil {
		return "", err
	}
	name = claimFolder + now.Format("20060102T150405Z") + "-" + strings.ToLower(rand.Text()[:10])
	return name, putBytes(ctx, c.r.store, c.r.object(name), b)
}

// confirm sees that all of it is still listed, and pins it. A tip may be listed no more: it outlives that for a while, and longer
// where its claim came in time.
func (c *Claim) confirm(ctx context.Context, chain history.Chain) error {
	var replaced []string
	err := c.r.view(ctx, func(head ledger.Checkpoint, _ []ledger.Ignored) error {
		names := make([]string, 0, len(c.reading.Bases)+len(chain.Segments))
		for _, id := range c.reading.Bases {
			names = append(names, manifestName(id))
		}
		for _, s := range chain.Segments {
			switch listed := slices.ContainsFunc(head.Tips, func(t ledger.Tip) bool { return t.Name == s.Name }); {
			case !s.Tip:
				names = append(names, s.Name)
			case !listed:
				replaced = append(replaced, s.Name)
			}
		}
		for _, name := range names {
			if _, listed := c.r.fold.objects[name]; !listed {
				return &UnlistedError{Source: c.r.source, Object: name}
			}
		}
		for _, name := range names {
			c.r.pins.add(name, pin{object: c.r.fold.objects[name], segment: c.r.fold.segments[name]})
		}
		c.pinned = append(c.pinned, names...)
		return nil
	})
	for _, name := range replaced {
		if err == nil {
			err = c.stands(ctx, name)
		}
	}
	return err
}

// stands sees that a tip that is not listed any more is there, and pinned.
func (c *Claim) stands(ctx context.Context, name string) error {
	_, err := c.r.store.Stat(ctx, c.r.object(name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !slices.Contains(c.tips, name) {
		return &UnlistedError{Source: c.r.source, Object: name}
	}
	return err
}

// Reading is what is claimed.
func (c *Claim) Reading() Reading { return c.reading }

// Renew makes the claim count for its whole time again. Call it well before the time is over, at a third of it, say.
func (c *Claim) Renew(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	name, err := c.put(ctx)
	if err != nil {
		return fmt.Errorf("renew claim of %s on %s: %w", c.reading.By, c.r.source, err)
	}
	before := c.name
	c.name = name
	return c.remove(ctx, before)
}

// keep renews the claim until ctx ends. One that cannot be renewed is tried again: it counts for a while still.
func (c *Claim) keep(ctx context.Context) {
	timer := time.NewTicker(c.hold / 3)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			if err := c.Renew(ctx); err != nil && ctx.Err() == nil {
				c.r.o.Log.Warn("renew claim", "source", c.r.source, "error", err)
			}
		}
	}
}

// Release ends the claim. Where the object cannot be deleted it ends by time.
func (c *Claim) Release(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.r.pins.remove(c.pinned)
	c.pinned = nil
	return c.remove(ctx, c.name)
}

func (c *Claim) remove(ctx context.Context, name string) error {
	err := c.r.store.Delete(ctx, c.r.object(name))
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("release claim of %s on %s: %w", c.reading.By, c.r.source, err)
	}
	return nil
}

// claims are those that count at one moment.
type claims struct {
	list []claimBody
	// unread are claims that cannot be read: they count for everything.
	unread []string
}

// Readings lists what is being read now, for a decision on what to drop.
func (r *Repository) Readings(ctx context.Context) ([]Reading, error) {
	live, _, err := r.claims(ctx, r.o.Now())
	if err != nil {
		return nil, fmt.Errorf("list claims on %s: %w", r.source, err)
	}
	var list []Reading
	for _, c := range live.list {
		list = append(list, c.Reading)
	}
	return list, nil
}

// claims lists the claims that count at now, by the store's clock, and the objects of those that do not any more.
func (r *Repository) claims(ctx context.Context, now time.Time) (live claims, over []store.Object, err error) {
	objects, err := listObjects(ctx, r.store, r.object(claimFolder))
	if err != nil {
		return live, nil, err
	}
	for _, o := range objects {
		hold := maxHold
		body, err := r.readClaim(ctx, o)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, errNoClaim):
		case err != nil:
			return live, nil, err
		default:
			hold = min(time.Duration(min(max(0, body.Seconds), int64(maxHold/time.Second)))*time.Second, maxHold)
		}
		switch {
		case now.Sub(o.Created) >= hold+claimGrace:
			over = append(over, o)
		case err != nil:
			live.unread = append(live.unread, o.Name)
		default:
			live.list = append(live.list, body)
		}
	}
	return live, over, nil
}

var errNoClaim = errors.New("it is no claim of a known format")

func (r *Repository) readClaim(ctx context.Context, o store.Object) (claimBody, error) {
	if o.Size > maxClaim {
		return claimBody{}, errNoClaim
	}
	b, err := store.ReadAll(ctx, r.store, o.Name, maxClaim)
	if err != nil {
		return claimBody{}, err
	}
	return parseClaim(b)
}

// parseClaim reads a claim. Anybody who can write to the store can make one: it can delay a deletion by a day, and no more.
func parseClaim(b []byte) (claimBody, error) {
	var c claimBody
	if err := json.Unmarshal(b, &c); err != nil || c.Format != 0 || c.By == "" {
		return claimBody{}, errNoClaim
	}
	return c, nil
}

// covers says who reads an object that is or was listed under name, "" if nobody does.
func (c claims) covers(name string) (by string, until time.Time) {
	if len(c.unread) > 0 {
		return "somebody whose claim " + c.unread[0] + " this version cannot read", time.Time{}
	}
	for _, claim := range c.list {
		if claim.covers(name) {
			return claim.By, claim.Until
		}
	}
	return "", time.Time{}
}

func (r Reading) covers(name string) bool {
	if rest, isBase := strings.CutPrefix(name, "base/"); isBase {
		id, _, _ := strings.Cut(rest, "/")
		return slices.Contains(r.Bases, id)
	}
	s, isLog := segmentOf(name)
	return isLog && r.Log != nil && s.From.Seq < r.Log.To && r.Log.From < s.To.Seq
}

// segmentOf reads the positions of a segment or a tip from its name.
func segmentOf(name string) (history.Segment, bool) {
	var timeline uint32
	var from, to uint64
	_, numbers, _ := strings.Cut(name, "/")
	if !strings.HasPrefix(name, "log/") && !strings.HasPrefix(name, "tip/") {
		return history.Segment{}, false
	}
	n, _ := fmt.Sscanf(numbers, "%d/%d-%d-", &timeline, &from, &to)
	return history.Segment{From: history.At(timeline, from), To: history.At(timeline, to)}, n == 3
}
