package crash

import (
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestSpoolDiskFullBesideAServer: capture stops and says so while commits go on. The slot keeps what was not captured, so that
// with room again nothing is missing.
func TestSpoolDiskFullBesideAServer(t *testing.T) {
	b := newBank(t, 1, pgtest.Options{})
	state := b.disk(".backstay", "48m")
	b.busy()
	b.protect()
	b.begun()
	free := fill(t, state)
	b.says("no space left")
	reported := b.durable()
	b.grown(50)
	b.still()
	b.holds(reported)
	free()
	b.wholeAgain()
}

// TestServersDiskFull fills the disk of the server's log while it is followed: the server ends. With room again and the
// server started, following goes on where it was.
func TestServersDiskFull(t *testing.T) {
	small := (&shop{t: t, dir: pgtest.Place(t)}).disk("wal", "24m")
	if err := pgtest.Owner(t).Give(small); err != nil {
		t.Fatal(err)
	}
	b := newBank(t, 1, pgtest.Options{
		Initdb:   []string{"--wal-segsize=1", "--waldir=" + small},
		Settings: map[string]string{"min_wal_size": "2MB", "max_wal_size": "1GB"},
	})
	b.busy()
	b.protect()
	b.begun()
	free := fill(t, small)
	b.until(60*time.Second, "the server ends for want of room", func() bool { return !b.db.Running() })
	b.says("connect")
	b.still()
	reported := b.durable()
	b.holds(reported)
	free()
	b.db.Start(t)
	b.busy()
	b.grown(50)
	b.wholeAgain()
}

// says waits until the agent says of the source that it fails, with all of words in its error.
func (b *bank) says(words string) {
	b.t.Helper()
	b.until(60*time.Second, "the source fails with "+words, func() bool {
		st, _ := b.status()
		for _, w := range strings.Split(words, "|") {
			if st.State != "failing" || !strings.Contains(st.Error, w) {
				return false
			}
		}
		return true
	})
}

// wholeAgain ends writers and agent, and demands that the repository holds all that was committed, without a gap.
func (b *bank) wholeAgain() {
	b.t.Helper()
	b.protected()
	b.still()
	b.ledger.Settle(b.t)
	b.protected()
	b.stop()
	b.unbroken()
	b.stands(b.ledger.Now())
	b.check()
}
