package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

// Config says which log, and who reads and writes it.
type Config struct {
	Store     store.Store      // of this host; to read a copy, that of the repository
	Name      string           // of the log: NameOf
	Signer    *ledger.Signer   // nil: read only
	Verifiers []string         // keys whose signature counts, besides Signer's own
	Memory    Memory           // what this host saw last; nil: nothing is remembered
	Stamp     Entry            // what entries have that do not say otherwise: Who, Tool, Config, Environment
	Now       func() time.Time // nil: time.Now
}

// Record is an entry and its place in the log.
type Record struct {
	Volume int   `json:"volume"`
	N      int64 `json:"n"` // leaf in the volume's ledger
	Entry
}

// Log is the audit log of one host. It is safe for concurrent use. Use Open.
type Log struct {
	c    Config
	full int64 // leaves of a volume

	mu      sync.Mutex
	current *volume // the newest; nil before it was looked for
}

// Open returns the log; it does not look at the store yet. With the first Append it is begun.
func Open(c Config) (*Log, error) {
	if err := validLog(c.Name); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	l := &Log{c: c, full: volumeLeaves}
	_, err := l.volumeIn(c.Store, 0, nil, nil, keepIDs) // the keys are good ones
	return l, err
}

// Name is what the log is called.
func (l *Log) Name() string { return l.c.Name }

func (l *Log) verifiers() []string {
	if l.c.Signer == nil {
		return l.c.Verifiers
	}
	return append(slices.Clone(l.c.Verifiers), l.c.Signer.Verifier())
}

var errFull = errors.New("the volume is full")

// Append adds an entry and returns it as it stands: completed, without secrets, cut where it is too long. When it returns
// nil the entry is durable. After an error it may stand all the same: the same entry with the same ID may be appended again.
func (l *Log) Append(ctx context.Context, e Entry) (Record, error) {
	r, err := l.append(ctx, e.filled(l.c.Stamp, rand.Text(), l.c.Now()))
	if err != nil {
		return Record{}, fmt.Errorf("append %s to audit log %s: %w", e.What, l.c.Name, err)
	}
	return r, nil
}

func (l *Log) append(ctx context.Context, e Entry) (Record, error) {
	if l.c.Signer == nil {
		return Record{}, errors.New("it is opened for reading only")
	}
	if err := e.complete(); err != nil {
		return Record{}, err
	}
	body, err := ledger.Body(e)
	if err != nil {
		return Record{}, err
	}
	for {
		v, err := l.newest(ctx)
		if err != nil {
			return Record{}, err
		}
		r := Record{Volume: v.number, Entry: e}
		end := link{}
		_, err = v.log.Append(ctx, func(head ledger.Checkpoint) (ledger.Change, error) {
			if n, stands := v.fold.ids[e.ID]; stands {
				r.N = n
				return ledger.Change{}, ledger.ErrNoChange
			}
			if head.Size >= l.full {
				end = link{head.Size, head.Root}
				return ledger.Change{}, errFull
			}
			r.N = head.Size
			return ledger.Change{Leaves: []ledger.Leaf{{Kind: entryKind, Body: body}}}, nil
		})
		if !errors.Is(err, errFull) {
			return r, err
		}
		if err := l.begin(ctx, v.number+1, &end); err != nil {
			return Record{}, err
		}
	}
}

// begin creates a volume and makes it the newest. Another process may have been faster: that is as good.
func (l *Log) begin(ctx context.Context, number int, previous *link) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, err := l.create(ctx, number, previous)
	if err != nil {
		return err
	}
	if l.current == nil || l.current.number < number {
		l.current = v
	}
	return nil
}

func (l *Log) create(ctx context.Context, number int, previous *link) (*volume, error) {
	body, err := ledger.Body(beginning{Log: l.c.Name, Volume: number, Previous: previous})
	if err != nil {
		return nil, err
	}
	v, err := l.volumeIn(l.c.Store, number, l.c.Signer, l.c.Memory, keepIDs)
	if err != nil {
		return nil, err
	}
	_, err = v.log.Create(ctx, ledger.Change{Leaves: []ledger.Leaf{{Kind: volumeKind, Body: body}}})
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return v, err
}

// newest is the volume to append to. The first time it is looked for; a log that was never begun is begun.
func (l *Log) newest(ctx context.Context) (*volume, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil {
		return l.current, nil
	}
	number, err := l.find(ctx)
	if err != nil {
		return nil, err
	}
	var v *volume
	if number < 0 {
		v, err = l.create(ctx, 0, nil)
	} else {
		v, err = l.volumeIn(l.c.Store, number, l.c.Signer, l.c.Memory, keepIDs)
	}
	if err == nil {
		l.current = v
	}
	return v, err
}

// find returns the number of the newest volume, -1 if there is none, after a look at what this host saw before.
func (l *Log) find(ctx context.Context) (int, error) {
	seen, known := Seen{}, false
	if l.c.Memory != nil {
		var err error
		if seen, known, err = l.c.Memory.Load(); err != nil {
			return 0, err
		}
	}
	volumes, err := listing(ctx, l.c.Store, l.c.Name)
	if err != nil {
		return 0, err
	}
	newest := newestOf(volumes)
	if !known || newest == seen.Volume {
		return newest, nil
	}
	if newest < seen.Volume {
		return 0, l.lost(seen, newest)
	}
	return newest, l.leads(ctx, seen.Volume, newest)
}

// lost is the error for volumes that are gone.
func (l *Log) lost(seen Seen, newest int) error {
	detail := fmt.Sprintf("its newest volume is %06d, but %06d was seen before", newest, seen.Volume)
	if newest < 0 {
		detail = fmt.Sprintf("there is none, but checkpoint %d of volume %06d was seen before", seen.Seen.Number, seen.Volume)
	}
	return &ledger.RollbackError{Log: folder + "/" + l.c.Name, Seen: seen.Seen, Detail: detail}
}

// leads verifies that the volumes from one that was seen lead to a later one.
func (l *Log) leads(ctx context.Context, from, to int) error {
	var previous *link
	for n := from; n <= to; n++ {
		v, err := l.volumeIn(l.c.Store, n, nil, l.c.Memory, keepIDs)
		if err != nil {
			return err
		}
		head, err := v.log.Head(ctx)
		if err != nil {
			return err
		}
		if n > from {
			if wrong := v.fold.follows(l.c.Name, n, previous); wrong != "" {
				return &ledger.CorruptError{Object: prefix(l.c.Name, n), Detail: wrong}
			}
		}
		previous = &link{head.Size, head.Root}
	}
	return nil
}

// Close writes down what was seen last. The Log stays usable.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil {
		return nil
	}
	return l.current.log.Close()
}
