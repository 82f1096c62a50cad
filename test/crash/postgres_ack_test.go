package crash

import (
	"os"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestCommitsWaitForTheRepository has the agent as synchronous standby with ack: repository. What was answered is in the
// repository then, without the spool; with the store away no commit is answered, and they are when it is back.
func TestCommitsWaitForTheRepository(t *testing.T) {
	b := newBank(t, 1, pgtest.Options{})
	b.configure("ack: repository")
	b.protect()
	b.begun()
	answeredBy(t, b.db, "backstay")
	repo, away := b.path("repo"), b.path("away")
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		b.ledger.Commit(t)
		move(repo, away) // as it was when the commit was answered
		dir := b.place()
		b.restore(dir, "latest", "--store", away, "--key", b.path("backstay.key"))
		b.compare(dir, b.ledger.Now())
		move(away, repo)
		b.protected()
	}

	move(repo, away)
	answered := b.ledger.Acked()
	b.busy()
	b.failing("local", "mount")
	b.until(30*time.Second, "a commit waits for its standby", func() bool {
		return b.db.Ask(t, "select count(*)::text from pg_stat_activity where wait_event = 'SyncRep'") == "1"
	})
	time.Sleep(2 * time.Second)
	if now := b.ledger.Acked(); now != answered {
		t.Errorf("%d commits were answered while there was no repository", now-answered)
	}
	move(away, repo)
	b.grown(20)
	b.still()
	b.ledger.Settle(t)
	b.protected()
	b.stop()
	b.stands(b.ledger.Now())
	b.check()
}
