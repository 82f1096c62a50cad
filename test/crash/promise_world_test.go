package crash

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/store/s3/s3test"
)

// firm is a daemon that keeps promises for a PostgreSQL server (source app) and a SQLite database (source shop), in a folder and on an
// S3 server, and that tells sinks.
type firm struct {
	*bank
	shop  *shop // the writer of the database and its ledger
	s3    *s3test.Server
	sinks *sinks
	url   string // of the bucket
	env   []string
	holed bool // moments were lost

	mu     sync.Mutex
	claims map[claimant][]time.Time
	ended  chan struct{}
	watch  sync.WaitGroup
}

// claimant is a repository of a source.
type claimant struct{ source, repository string }

// The promises of the class, and what follows from them: what is wrong is told when it has lasted for the RPO, beyond a lag of the RPO, and five
// seconds later at most it has arrived.
const (
	firmRPO = 5 * time.Second
	inTime  = 2*firmRPO + 5*time.Second
)

func newFirm(t *testing.T) *firm {
	t.Helper()
	server := s3test.Start(t)
	server.SetEnv(t)
	b := newBank(t, 1, pgtest.Options{Checksums: true, Settings: map[string]string{"wal_keep_size": "0", "min_wal_size": "32MB", "max_wal_size": "64MB"}})
	f := &firm{bank: b, s3: server, sinks: newSinks(t), url: server.Bucket(t, "promises", false), claims: map[claimant][]time.Time{}, ended: make(chan struct{})}
	f.shop = &shop{t: t, dir: b.dir, mode: "wal", rate: 50, log: b.log}
	t.Cleanup(func() { f.shop.kill(f.shop.writer) })
	notify, mail := f.sinks.config()
	f.env = append(os.Environ(), "PGPASSWORD="+pgtest.Password, mail)
	every := "1h"
	if long() {
		every = "2m"
	}
	f.file("backstay.yaml", "repositories:\n  local: { store: ./repo }\n  offsite: { store: \""+f.url+"\" }\n"+
		"classes:\n  critical: { rpo: 5s, rto: 10m, window: 1d, repositories: [local, offsite], base: { full: every "+every+" }, drill: every "+every+
		", check_every: "+every+", deep_check_every: 7d, keep: { minimum: 2 } }\n"+
		"sources:\n  app: { url: \""+b.url+"\", class: critical }\n  shop: { url: \"sqlite:./app.db\", class: critical }\n"+notify)
	f.disk(".backstay", "640m") // drills leave 256 MiB free
	return f
}

// run starts the daemon.
func (f *firm) run() {
	f.t.Helper()
	f.agent = exec.Command(binary, "run")
	f.agent.Dir, f.agent.Env = f.dir, f.env
	f.agent.Stdout, f.agent.Stderr = f.log, f.log
	if err := f.agent.Start(); err != nil {
		f.t.Fatal(err)
	}
}

// look asks the daemon, without a process of its own; ok is false while it does not answer.
func (f *firm) look() (api.Status, bool) {
	st, err := api.Dial(f.path(".backstay")).Status(f.t.Context())
	return st, err == nil
}

// kept waits until the daemon says that all promises are kept, and all that was committed by now is in both repositories. Moments that
// were lost stay lost: a database that was written while the daemon was dead, and a server that removed its log, have a gap from then on.
func (f *firm) kept() {
	f.t.Helper()
	now := time.Now()
	f.until(90*time.Second, "all promises are kept", func() bool {
		st, ok := f.look()
		if !ok || st.Kept == nil {
			return false
		}
		for _, s := range st.Sources {
			if slices.ContainsFunc(s.Promises, func(p api.Promise) bool { return !p.Kept && !(p.Objective == "coverage" && f.holed) }) {
				return false
			}
			for _, r := range s.Repositories {
				if r.Error != "" || !r.DurableTime.After(now) {
					return false
				}
			}
		}
		return true
	})
}

// note takes down, twice a second, what the daemon says can be recovered from where.
func (f *firm) note() {
	f.watch.Go(func() {
		for {
			select {
			case <-f.ended:
				return
			case <-time.After(500 * time.Millisecond):
			}
			st, ok := f.look()
			if !ok {
				continue
			}
			f.mu.Lock()
			for _, s := range st.Sources {
				for _, r := range s.Repositories {
					who := claimant{s.Name, r.Name}
					if all := f.claims[who]; !r.DurableTime.IsZero() && (len(all) == 0 || r.DurableTime.After(all[len(all)-1])) {
						f.claims[who] = append(all, r.DurableTime)
					}
				}
			}
			f.mu.Unlock()
		}
	})
}

// some picks claims of one repository about a source, the first and the last of all among them.
func (f *firm) some(who claimant, n int) []time.Time {
	f.t.Helper()
	all := f.claims[who]
	if len(all) < n {
		f.t.Fatalf("of %v only %d moments were called recoverable", who, len(all))
	}
	picked := []time.Time{all[0], all[len(all)-1]}
	for len(picked) < n {
		picked = append(picked, all[rand.IntN(len(all))])
	}
	slices.SortFunc(picked, time.Time.Compare)
	return picked
}

// storeOf is where a repository lies.
func (f *firm) storeOf(repository string) string {
	if repository == "offsite" {
		return f.url
	}
	return f.path("repo")
}

// ordersAt restores the database from one repository and the key alone, and counts.
func (f *firm) ordersAt(repository, target string) int {
	f.t.Helper()
	into := filepath.Join(f.t.TempDir(), "data")
	out, err := f.command("restore", "shop", "--to", target, "--into", into, "--store", f.storeOf(repository), "--key", f.path("backstay.key")).CombinedOutput()
	if err != nil {
		f.t.Fatalf("restore shop from %s to %s: %v\n%s", repository, target, err, out)
	}
	return f.shop.orders(filepath.Join(into, "app.db"))
}

// proveShop demands that what was called recoverable of the database is.
func (f *firm) proveShop(n int) {
	f.t.Helper()
	all := f.shop.ledger()
	last := all[len(all)-1].n
	for _, repository := range []string{"local", "offsite"} {
		if got := f.ordersAt(repository, "latest"); got != last {
			f.t.Errorf("%s holds %d orders of %d", repository, got, last)
		}
		for _, at := range f.some(claimant{"shop", repository}, n) {
			got := f.ordersAt(repository, at.UTC().Format(time.RFC3339Nano))
			if least, most := settledBy(all, at.Add(-50*time.Millisecond)), begunBy(all, at); got < least || got > most {
				f.t.Errorf("%s: shop was called recoverable at %v: %d orders, want %d to %d", repository, at, got, least, most)
			}
		}
	}
}

// proveBank demands the same of the server.
func (f *firm) proveBank(n int) {
	f.t.Helper()
	for _, repository := range []string{"local", "offsite"} {
		arguments := []string{"--store", f.storeOf(repository), "--key", f.path("backstay.key")}
		moments := []pgtest.Moment{f.ledger.Now()}
		for _, at := range f.some(claimant{"app", repository}, n) {
			moments = append(moments, f.ledger.AtTime(at))
		}
		for _, m := range moments {
			dir := f.restored(m.Target, arguments...)
			f.compare(dir, m)
			if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
				f.t.Fatal(err)
			}
		}
	}
}

// stopStream halts the process of the server that sends log, until the function it returns is called.
func (f *firm) stopStream() (goOn func()) {
	f.t.Helper()
	pid, err := strconv.Atoi(f.db.Ask(f.t, "select pid::text from pg_stat_replication where state = 'streaming'"))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGSTOP)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	return func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
}

// loseSlot drops the slot of the server, and has the server remove the log that was not captured.
func (f *firm) loseSlot() {
	f.t.Helper()
	name := f.db.Ask(f.t, "select slot_name::text from pg_replication_slots")
	f.db.Exec(f.t, "select pg_terminate_backend(active_pid) from pg_replication_slots where active_pid is not null", "select pg_sleep(0.3)")
	f.db.Exec(f.t, "select pg_drop_replication_slot('"+name+"')")
	for range 4 {
		f.db.Exec(f.t, "create table if not exists filler (a text)", "insert into filler select repeat('x', 1000) from generate_series(1, 8000)", "select pg_switch_wal()", "checkpoint")
	}
}

// aPack is a file of a base of the database in the folder.
func (f *firm) aPack() string {
	f.t.Helper()
	packs, err := filepath.Glob(f.path("repo/shop/base/*/pack-*"))
	if err != nil || len(packs) == 0 {
		f.t.Fatalf("the folder holds no pack of the database: %v", err)
	}
	return packs[0]
}
