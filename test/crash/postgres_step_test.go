package crash

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/killpoint"
)

// stepsOfAServer are the steps that a server's agent passes, in the order in which it can be killed at them: only without a
// base it takes one. What a repository does long after, and whatever the source, is left to TestKillAtEveryStep.
var stepsOfAServer = []killpoint.Step{
	killpoint.KeyPut, killpoint.KeysPut, killpoint.BasePack, killpoint.BaseManifest, killpoint.BaseCommitted,
	killpoint.SpoolWritten, killpoint.SpoolSynced, killpoint.TipPut, killpoint.SegmentSealed, killpoint.SegmentPut, killpoint.LedgerCreated,
	killpoint.SpoolReleased,
}

// TestKillAtEveryStepOfAServer kills the agent of one server at each step in turn, while commits go on. Each next one goes on
// from what the kill left, without a gap. Restores are killed at their steps and repeated.
func TestKillAtEveryStepOfAServer(t *testing.T) {
	b := newBank(t, 2, pgtest.Options{})
	b.configure("segment_size: 256KiB")
	b.busy()
	var first pgtest.Moment // what came before the base can't be restored to
	for _, step := range stepsOfAServer {
		for _, visit := range visits(step) {
			b.protect(killing(step, visit))
			b.dies(step, visit)
		}
		if step == killpoint.BaseCommitted {
			first = b.ledger.Now()
		}
	}
	b.protect()
	b.protected()
	b.still()
	b.ledger.Settle(t)
	b.protected()
	b.stop()
	b.unbroken()

	for step := range duringRestore {
		into := b.place()
		b.cut(step, into, "latest", b.fromRepository()...)
		b.restore(into, "latest", b.fromRepository()...)
		b.compare(into, b.ledger.Now())
	}
	all := after(b.ledger.Entries(), first)
	for _, kind := range []string{pgtest.ByTime, pgtest.BeforeXID} {
		b.stands(b.ledger.Moment(kind, all[rand.IntN(len(all))]))
	}
	b.check("--deep", "--key", b.path("backstay.key"))
}

// unbroken demands that all that was ever captured is one window.
func (b *bank) unbroken() {
	b.t.Helper()
	out, err := b.command("history", "app", "--json").Output()
	if err != nil {
		b.t.Fatal(err)
	}
	var h []api.History
	if err := json.Unmarshal(out, &h); err != nil {
		b.t.Fatalf("history --json printed %q: %v", out, err)
	}
	if len(h) != 1 || len(h[0].Windows) != 1 || len(h[0].Gaps) != 0 {
		b.t.Errorf("what was captured is not one window: %s", out)
	}
}
