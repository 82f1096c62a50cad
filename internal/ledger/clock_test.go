package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// TestClockJumps sets the clock of the writer forward and back between appends: every one stands, two writers still
// share the log, and a reader with an ordinary clock verifies all of it.
func TestClockJumps(t *testing.T) {
	s := mem.New()
	signer, err := ledger.NewSigner("host")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	open := func(clock func() time.Time) *ledger.Log {
		l, err := ledger.Open(ledger.Config{Store: s, Prefix: "app/ledger", Origin: "app", Signer: signer, Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	jumping, steady := open(func() time.Time { return now }), open(time.Now)
	one := func(n int) ledger.Change {
		return ledger.Change{Leaves: []ledger.Leaf{{Kind: "note", Name: fmt.Sprint(n)}}}
	}
	if _, err := jumping.Create(t.Context(), one(0)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, jump := range []time.Duration{time.Second, 24 * time.Hour, -48 * time.Hour, time.Minute, 10 * 365 * 24 * time.Hour, -20 * 365 * 24 * time.Hour, 0} {
		now = now.Add(jump)
		for _, l := range []*ledger.Log{jumping, steady, jumping} {
			n++
			if _, err := l.Append(t.Context(), func(ledger.Checkpoint) (ledger.Change, error) { return one(n), nil }); err != nil {
				t.Fatalf("append after a jump of %v: %v", jump, err)
			}
		}
	}
	head, err := open(time.Now).Head(t.Context())
	if err != nil || head.Size != int64(n+1) {
		t.Errorf("the log holds %d leaves, want %d: %v", head.Size, n+1, err)
	}
}
