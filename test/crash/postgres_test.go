package crash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/recovery"
)

// bank is a PostgreSQL server that is protected, with a ledger that is written to it. The agent, its status and its
// commands are those of a shop without a database of its own.
type bank struct {
	*shop
	db     *pgtest.Cluster
	ledger *pgtest.Ledger
	url    string
	idle   func() // lets the ledger's writers rest; nil while they do
}

// newBank starts a server with a ledger of so many writers.
func newBank(t *testing.T, writers int, o pgtest.Options) *bank {
	t.Helper()
	s := &shop{t: t, dir: pgtest.Place(t)}
	log, err := os.Create(s.path("agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	b := &bank{shop: s, db: pgtest.New(t, o)}
	b.url = b.db.SocketURL(pgtest.Backup)
	b.ledger = pgtest.NewLedger(t, b.db, writers)
	t.Cleanup(func() {
		b.still()
		s.kill(s.agent)
		log.Close()
		if out, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the agent's last words:\n%s", out[max(0, len(out)-8000):])
			keep(t, s.dir)
		}
	})
	return b
}

// configure writes backstay.yaml before the first protect, with settings of the source.
func (b *bank) configure(settings string) {
	b.t.Helper()
	text := fmt.Sprintf("repositories:\n  local: { store: ./repo }\nsources:\n  app: { url: %q, repositories: [local], %s }\n", b.url, settings)
	if err := os.WriteFile(b.path("backstay.yaml"), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// in is the same bank for a part of its test.
func (b *bank) in(t *testing.T) *bank {
	part, s := *b, *b.shop
	s.t = t
	part.shop = &s
	return &part
}

// protect starts the agent; env is added to its environment. It runs in a folder of its own, in which the servers' user can
// reach what is restored.
func (b *bank) protect(env ...string) {
	b.t.Helper()
	b.agent = exec.Command(binary, "protect", b.url, "--name", "app")
	b.agent.Dir = b.dir
	b.agent.Stdout, b.agent.Stderr = b.log, b.log
	b.agent.Env = append(append(os.Environ(), "PGPASSWORD="+pgtest.Password), env...)
	if err := b.agent.Start(); err != nil {
		b.t.Fatal(err)
	}
}

// begun waits until the first base stands.
func (b *bank) begun() {
	b.t.Helper()
	b.until(60*time.Second, "protection begins", func() bool { return !b.durable().IsZero() })
}

// busy lets the ledger's writers write.
func (b *bank) busy() {
	if b.idle == nil {
		b.idle = b.ledger.Run(time.Millisecond)
	}
}

// still lets them rest.
func (b *bank) still() {
	if b.idle != nil {
		b.idle()
		b.idle = nil
	}
}

// grown waits until so many more commits were answered.
func (b *bank) grown(by int64) {
	b.t.Helper()
	want := b.ledger.Acked() + by
	b.until(60*time.Second, "the ledger grows", func() bool { return b.ledger.Acked() >= want })
}

// place makes a folder that the server's user can enter, and names one in it to restore into.
func (b *bank) place() string {
	b.t.Helper()
	dir, err := os.MkdirTemp(b.dir, "restored-")
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		b.t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

// restored recovers to a target with the arguments given besides, and gives the folder.
func (b *bank) restored(target string, arguments ...string) string {
	b.t.Helper()
	into := b.place()
	b.restore(into, target, arguments...)
	return into
}

// restore recovers, and gives what the command said.
func (b *bank) restore(into, target string, arguments ...string) string {
	b.t.Helper()
	out, err := b.command(append([]string{"restore", "app", "--to", target, "--into", into}, arguments...)...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("restore to %s: %v\n%s", target, err, out)
	}
	return string(out)
}

// cut begins a restore and kills it at a step.
func (b *bank) cut(step killpoint.Step, into, target string, arguments ...string) {
	b.t.Helper()
	c := b.command(append([]string{"restore", "app", "--to", target, "--into", into}, arguments...)...)
	c.Env = append(os.Environ(), killing(step, 1))
	if out, err := c.CombinedOutput(); err == nil || c.ProcessState.Exited() {
		b.t.Fatalf("the restore to %s was not killed at %s: %v\n%s", target, step, err, out)
	}
}

// laid begins a restore, kills it where the base is laid and nothing was replayed, and has PostgreSQL's own
// pg_verifybackup, which 13 brought, compare every file with the server's manifest. The log is not in the base.
func (b *bank) laid(into, target string, arguments ...string) {
	b.t.Helper()
	b.cut(killpoint.RestoreLaid, into, target, arguments...)
	base := filepath.Join(into, recovery.Marker, "data")
	if out, err := exec.Command(filepath.Join(b.db.Programs.Dir, "pg_verifybackup"), "--no-parse-wal", base).CombinedOutput(); err != nil {
		b.t.Fatalf("the base for %s does not pass pg_verifybackup: %v\n%s", target, err, out)
	}
}

// fromRepository are the arguments of a restore that needs repository and key alone.
func (b *bank) fromRepository() []string {
	return []string{"--store", b.path("repo"), "--key", b.path("backstay.key")}
}

// stands restores a moment from the repository, looks at its base before it is recovered, starts the server there, and
// compares it with the ledger.
func (b *bank) stands(m pgtest.Moment) {
	b.t.Helper()
	dir := b.place()
	b.laid(dir, m.Target, b.fromRepository()...)
	b.restore(dir, m.Target, b.fromRepository()...)
	b.compare(dir, m)
	if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
		b.t.Fatal(err)
	}
}

// compare opens restored data. It has to be what a person can start without Backstay and the key.
func (b *bank) compare(dir string, m pgtest.Moment) {
	b.t.Helper()
	c := pgtest.Opened(b.t, b.db.Version, dir, map[string]string{"synchronous_standby_names": ""})
	c.Start(b.t)
	defer c.Stop(b.t)
	b.ledger.Check(b.t, c.Connect(b.t), m)
	b.balanced(c.Connect(b.t), m.Target)
	c.Run(b.t, "pg_amcheck", "-h", c.Server().SocketDir(), "-p", c.Ask(b.t, "show port"), "-U", pgtest.Admin, "--all", "--install-missing", "--heapallindexed")
}

// bench starts pgbench beside the ledger; the function it returns ends it.
func (b *bank) bench() (stop func()) {
	b.t.Helper()
	arguments := []string{"-h", b.db.Server().SocketDir(), "-p", b.db.Ask(b.t, "show port"), "-U", pgtest.Admin, "-n"}
	if out, err := exec.Command("pgbench", append(arguments, "-i", "-q", "-s", "1", "postgres")...).CombinedOutput(); err != nil {
		b.t.Fatalf("pgbench -i: %v\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, "pgbench", append(arguments, "-c", "2", "-T", "3600", "-R", "300", "postgres")...)
	if err := c.Start(); err != nil {
		cancel()
		b.t.Fatal(err)
	}
	stop = func() {
		cancel()
		_ = c.Wait() // it was killed
	}
	b.t.Cleanup(stop)
	return stop
}

// balanced checks pgbench's own books: each transaction adds the same to a teller, a branch, an account and the history.
func (b *bank) balanced(conn *pgx.Conn, at string) {
	b.t.Helper()
	var sums string
	err := conn.QueryRow(b.t.Context(), `select (select coalesce(sum(abalance), 0) from pgbench_accounts) || ' ' || (select coalesce(sum(bbalance), 0) from pgbench_branches)
		|| ' ' || (select coalesce(sum(tbalance), 0) from pgbench_tellers) || ' ' || (select coalesce(sum(delta), 0) from pgbench_history)
		where to_regclass('pgbench_history') is not null`).Scan(&sums)
	if err != nil {
		if strings.Contains(err.Error(), "does not exist") {
			return // this bank has no pgbench
		}
		b.t.Fatal(err)
	}
	if f := strings.Fields(sums); f[0] != f[1] || f[1] != f[2] || f[2] != f[3] {
		b.t.Errorf("at %s: pgbench's books differ: %s", at, sums)
	}
}
