package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// clock moves by leaps, as if processes were stopped for a while in the middle of what they do.
type clock struct {
	mu  sync.Mutex
	t   time.Time
	rnd *rand.Rand
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rnd != nil && c.rnd.IntN(40) == 0 {
		c.t = c.t.Add(time.Duration(c.rnd.Int64N(int64(15 * time.Minute))))
	}
	c.t = c.t.Add(time.Millisecond)
	return c.t
}

// names is a Fold that knows which names are in the log.
type names map[string]int

func (n names) Reset()                  { clear(n) }
func (n names) Add(f ledger.Leaf) error { n[f.Name]++; return nil }
func (n names) build(name string) ledger.Build {
	return func(ledger.Checkpoint) (ledger.Change, error) {
		if n[name] > 0 {
			return ledger.Change{}, ledger.ErrNoChange
		}
		return ledger.Change{Leaves: []ledger.Leaf{{Kind: "note", Name: name}}}, nil
	}
}

type testLog struct {
	*ledger.Log
	names names
}

func openLog(t rapid.TB, s store.Store, signer *ledger.Signer, verifiers []string, now func() time.Time) testLog {
	n := names{}
	l, err := ledger.Open(ledger.Config{Store: s, Prefix: "app/ledger", Origin: "app", Signer: signer, Verifiers: verifiers, Fold: n, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return testLog{l, n}
}

func newSigners(t rapid.TB, n int) ([]*ledger.Signer, []string) {
	var signers []*ledger.Signer
	var verifiers []string
	for i := range n {
		s, err := ledger.NewSigner(fmt.Sprintf("host%d", i))
		if err != nil {
			t.Fatal(err)
		}
		signers, verifiers = append(signers, s), append(verifiers, s.Verifier())
	}
	return signers, verifiers
}

// TestNoAcknowledgedLeafIsLost lets several writers that crash, stall and see storage fail append to one log.
func TestNoAcknowledgedLeafIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		seed := rapid.Uint64().Draw(t, "seed")
		writers := rapid.IntRange(1, 4).Draw(t, "writers")
		each := rapid.IntRange(1, 90).Draw(t, "leaves")
		share := rapid.Float64Range(0, 0.3).Draw(t, "share of calls that fail")
		objects := mem.New()
		faults := &faulty{Store: objects, rnd: rand.New(rand.NewPCG(seed, 1)), share: share}
		clock := &clock{t: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), rnd: rand.New(rand.NewPCG(seed, 2))}
		signers, verifiers := newSigners(t, writers)
		if _, err := openLog(t, objects, signers[0], verifiers, clock.now).Create(ctx, ledger.Change{}); err != nil {
			t.Fatal(err)
		}

		var mu sync.Mutex
		acknowledged := map[string]ledger.Checkpoint{}
		var g errgroup.Group
		for w := range writers {
			g.Go(func() error {
				rnd := rand.New(rand.NewPCG(seed, uint64(10+w)))
				l := openLog(t, faults, signers[w], verifiers, clock.now)
				for i := range each {
					name := fmt.Sprintf("w%d-%d", w, i)
					for try := 0; ; try++ {
						if rnd.IntN(10) == 0 { // a crash
							l = openLog(t, faults, signers[w], verifiers, clock.now)
						}
						c, err := l.Append(ctx, l.names.build(name))
						if err == nil {
							mu.Lock()
							acknowledged[name] = c
							mu.Unlock()
							break
						}
						if try == 500 {
							return fmt.Errorf("append %s: %w", name, err)
						}
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		reader := openLog(t, objects, nil, verifiers, clock.now)
		head, err := reader.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(reader.names) != writers*each || head.Size < int64(writers*each) {
			t.Fatalf("%d names in %d leaves, want %d", len(reader.names), head.Size, writers*each)
		}
		checked := 0
		for name, c := range acknowledged {
			if reader.names[name] != 1 {
				t.Fatalf("%s was acknowledged and is there %d times", name, reader.names[name])
			}
			if checked++; checked <= 5 {
				if _, _, err := reader.Extends(ctx, c.Seen()); err != nil {
					t.Fatalf("the checkpoint that %s was acknowledged with is on a fork: %v", name, err)
				}
			}
		}
	})
}
