package member

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

var small = map[string]string{"wal_log_hints": "on", "wal_keep_size": "128MB", "wal_retrieve_retry_interval": "100ms"}

func serverOf(t *testing.T, c *pgtest.Cluster, members map[string]string) *Server {
	t.Helper()
	s, err := New(Config{Name: "db1", Dir: c.Dir, URL: c.SocketURL(pgtest.Admin), Programs: c.Programs, Aside: t.TempDir(), Members: members})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.said(0))
		}
		s.Close()
		if err := Halt(context.Background(), c.Dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

// wayTo is how a member reaches a server.
func wayTo(c *pgtest.Cluster) string {
	return "host=" + c.Server().SocketDir() + " port=" + strconv.Itoa(c.Port) + " user=postgres"
}

// followerOf is a standby that can follow a primary, db2.
func followerOf(t *testing.T, primary *pgtest.Cluster) (*pgtest.Cluster, *Server) {
	t.Helper()
	standby := primary.Standby(t, "db1")
	return standby, serverOf(t, standby, map[string]string{"db2": wayTo(primary)})
}

func look(t *testing.T, s *Server) agent.Sight {
	t.Helper()
	sight, err := s.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sight
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func yes() bool { return true }

// TestALifeOfAServer goes through all that an agent does to it, but for streaming.
func TestALifeOfAServer(t *testing.T) {
	for _, v := range pgtest.Versions(t) {
		t.Run(strconv.Itoa(v), func(t *testing.T) {
			t.Parallel()
			lifeOfAServer(t, v)
		})
	}
}

func lifeOfAServer(t *testing.T, version int) {
	settings := maps.Clone(small)
	if version == 12 {
		delete(settings, "wal_keep_size")
	}
	c := pgtest.New(t, pgtest.Options{Version: version, Settings: settings})
	s := serverOf(t, c, nil)
	c.Exec(t, "create table t as select generate_series(1, 1000) n")
	primary := look(t, s)
	if primary.Role != cluster.Primary || primary.Received.Timeline != 1 || primary.SystemID != c.Ask(t, "select system_identifier from pg_control_system()") {
		t.Fatalf("primary: %+v", primary)
	}
	must(t, s.Stop(t.Context()))
	stopped := look(t, s)
	if stopped.Role != cluster.Stopped || stopped.Received.Compare(primary.Received) < 0 || stopped.SystemID != primary.SystemID {
		t.Fatalf("stopped at %+v, was at %s", stopped, primary.Received)
	}
	must(t, s.Start(t.Context(), cluster.Standby))
	standby := look(t, s)
	if standby.Role != cluster.Standby || !standby.Received.Equal(stopped.Received) || standby.Following != "" {
		t.Fatalf("standby: %+v, and its log ended at %s", standby, stopped.Received)
	}
	must(t, s.Detach(t.Context()))

	q := cluster.Quorum{Step: 2, Epoch: 3, Primary: "db1", Names: []string{"db2", "db3"}}
	lead := agent.Lead{Timeline: 5, Quorum: q, Others: []string{"db2", "db3"}}
	if err := s.Lead(t.Context(), lead, func() bool { return false }); err == nil || look(t, s).Role != cluster.Standby {
		t.Errorf("promoted without leave: %v", err)
	}
	must(t, s.Lead(t.Context(), lead, yes))
	led := look(t, s)
	if led.Role != cluster.Primary || led.Received.Timeline != 5 {
		t.Fatalf("led: %+v", led)
	}
	if n := c.Ask(t, "select count(*) from pg_replication_slots where slot_name in ('"+slot("db2")+"', '"+slot("db3")+"')"); n != "2" {
		t.Errorf("%s slots", n)
	}
	c.Exec(t, "insert into t values (1001)")

	must(t, s.Stop(t.Context()))
	if at := look(t, s); at.Received.Timeline != 5 || at.Received.Before(led.Received) {
		t.Errorf("its log ends at %s", at.Received)
	}
	c.Start(t) // as somebody else may
	if at := look(t, s); at.Role != cluster.Standby {
		t.Errorf("started by somebody else it is a %s", at.Role)
	}
	must(t, s.Start(t.Context(), cluster.Primary))
	again := look(t, s)
	if again.Role != cluster.Primary || again.Received.Timeline != 5 {
		t.Errorf("started again as primary it is %+v", again)
	}
	if n := c.Ask(t, "select count(*) from t"); n != "1001" {
		t.Errorf("%s rows", n)
	}
	if on := c.Ask(t, "show restart_after_crash"); on != "off" {
		t.Error("after a crash of a process it would come back by itself, as a standby")
	}
	if _, err := os.Stat(filepath.Join(c.Dir, standbySignal)); err != nil {
		t.Errorf("nothing keeps the next start from being one of a primary: %v", err)
	}
	must(t, os.WriteFile(s.mark(), nil, 0o600))
	if !look(t, s).Empty {
		t.Error("a rewind or a copy that was broken off counts as data")
	}
}

// TestTheEndOfTheLogIsWhatRecoveryFinds, whatever lies behind it, and however the log went over segments.
func TestTheEndOfTheLogIsWhatRecoveryFinds(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the long form starts more servers")
	}
	c := pgtest.New(t, pgtest.Options{Settings: small, Initdb: []string{"--wal-segsize=1"}})
	s := serverOf(t, c, nil)
	for round := range 4 {
		c.Exec(t, "create table if not exists t (n int, f text)", "insert into t select n, repeat('x', 1000) from generate_series(1, 1500) n")
		if round%2 == 1 {
			c.Exec(t, "select pg_switch_wal()")
		}
		must(t, s.Stop(t.Context()))
		found := look(t, s).Received
		must(t, s.Start(t.Context(), cluster.Standby))
		replayed := ""
		for deadline := time.Now().Add(20 * time.Second); replayed != found.Mark && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			replayed = c.Ask(t, "select pg_last_wal_replay_lsn()") // a standby can be asked before it has replayed all
		}
		if replayed != found.Mark {
			t.Errorf("round %d: the log ends at %s, recovery came to %s", round, found.Mark, replayed)
		}
		must(t, s.Lead(t.Context(), agent.Lead{Timeline: uint32(round + 2)}, yes))
	}
}

// TestALogEndsOnTheTimelineOfItsLastRecord: a standby that knows of a timeline, and has nothing of it, is on the one before.
func TestALogEndsOnTheTimelineOfItsLastRecord(t *testing.T) {
	r := logReader{size: 1 << 20, newest: map[wal.LSN]uint32{0x100000: 1, 0x200000: 2, 0x300000: 2}, highest: 2, dir: os.DirFS(t.TempDir())}
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "pg_wal"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "pg_wal", "00000002.history"), []byte("1\t0/2000A0\tno recovery target specified\n"), 0o600))
	r.dir = os.DirFS(dir)
	for at, want := range map[wal.LSN]uint32{0x100010: 1, 0x200050: 1, 0x2000A0: 1, 0x2000A8: 2, 0x300010: 2} {
		if got := r.holds(at); got != want {
			t.Errorf("a log that ends at %s is on timeline %d, want %d", at, got, want)
		}
	}
}

// TestStandbysFollowOverNumbersThatLedNowhere: promotions that failed leave gaps in the timelines.
func TestStandbysFollowOverNumbersThatLedNowhere(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the long form starts more servers")
	}
	c := pgtest.New(t, pgtest.Options{Settings: small})
	standby := c.Standby(t, "db2")
	s := serverOf(t, c, nil)
	must(t, s.Stop(t.Context()))
	must(t, s.Start(t.Context(), cluster.Standby))
	must(t, s.Lead(t.Context(), agent.Lead{Timeline: 4}, yes))
	c.Exec(t, "create table after (n int)")
	for end := time.Now().Add(20 * time.Second); standby.Ask(t, "select count(*) from pg_class where relname = 'after'") != "1"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the standby does not come to timeline 4")
		}
	}
	must(t, s.Stop(t.Context()))
	if at := look(t, s).Received; at.Timeline != 4 {
		t.Errorf("the log ends at %s", at)
	}
}

// TestLogIsFetched from a repository, and from a sibling that follows nobody: a candidate gets what it lacks.
func TestLogIsFetched(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the long form starts more servers")
	}
	old := pgtest.New(t, pgtest.Options{Settings: small})
	sibling := old.Standby(t, "db3")
	candidate := old.Standby(t, "db1")
	s := serverOf(t, sibling, map[string]string{"db1": wayTo(candidate)})
	c := serverOf(t, candidate, nil)
	c.c.Restore = "cp " + filepath.Join(old.Dir, "pg_wal") + "/%f %p"
	must(t, s.Detach(t.Context()))
	must(t, c.Detach(t.Context()))
	detached := look(t, c)
	old.Exec(t, "create table late as select generate_series(1, 10000) n")
	if now := look(t, c); !now.Received.Equal(detached.Received) || now.Following != "" {
		t.Fatalf("detached at %s, and then at %s", detached.Received, now.Received)
	}
	must(t, Halt(t.Context(), old.Dir))
	end, err := endOf(old.Dir)
	must(t, err)
	reaches := func(s *Server, what string) {
		t.Helper()
		for limit := time.Now().Add(20 * time.Second); look(t, s).Received.Before(end.received); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("%s: it came to %s, the log ends at %s", what, look(t, s).Received, end.received)
			}
		}
	}
	must(t, c.Follow(t.Context(), cluster.Repository))
	reaches(c, "from the repository")
	must(t, c.Detach(t.Context()))
	must(t, s.Follow(t.Context(), "db1"))
	reaches(s, "from the sibling")
	if at := look(t, s); at.Following != "db1" || !at.Streaming {
		t.Errorf("the sibling is followed: %+v", at)
	}
}

// TestAPrimaryIsPrepared: its data is written, and of the file that its log goes on in little is used, which its standby has.
func TestAPrimaryIsPrepared(t *testing.T) {
	t.Parallel()
	c := pgtest.New(t, pgtest.Options{Settings: small})
	standby := c.Standby(t, "db2")
	s := serverOf(t, c, nil)
	c.Exec(t, "create table rows as select repeat('x', 500) from generate_series(1, 10000)")
	standby.CatchUp(t)
	before := c.LSN(t)
	must(t, s.Flush(t.Context()))
	if got := c.Ask(t, fmt.Sprintf("select (redo_lsn >= '%s')::int from pg_control_checkpoint()", before)); got != "1" {
		t.Errorf("it has no checkpoint behind %s", before)
	}
	after := c.LSN(t)
	if used := after % (16 << 20); used > 1<<20 {
		t.Errorf("%d bytes of its segment are used", used)
	}
	if got := standby.Ask(t, fmt.Sprintf("select (pg_last_wal_receive_lsn() >= '%s')::int", after.SegmentStart(16<<20))); got != "1" {
		t.Errorf("the standby lacks what comes before %s", after.SegmentStart(16<<20))
	}
	must(t, s.Flush(t.Context()))
	if again := c.LSN(t); again.SegmentStart(16<<20) != after.SegmentStart(16<<20) {
		t.Errorf("a segment of which hardly anything is used is ended: %s, then %s", after, again)
	}
}

// TestAStandbyFollowsTheWayThatIsSaid: it says that it follows a member while it reaches it as the file says, and is told anew when that has changed.
func TestAStandbyFollowsTheWayThatIsSaid(t *testing.T) {
	t.Parallel()
	primary := pgtest.New(t, pgtest.Options{Settings: small})
	standby := primary.Standby(t, "db2")
	way := wayTo(primary)
	s := serverOf(t, standby, map[string]string{"db2": way})
	for _, c := range []struct{ way, as string }{{way, ""}, {way, "db2"}, {way + ` passfile='/a b/it\'s'`, ""}, {way + ` passfile='/a b/it\'s'`, "db2"}} {
		s.c.Members = map[string]string{"db2": c.way}
		if sight := look(t, s); sight.Role != cluster.Standby || sight.Following != c.as {
			t.Fatalf("with %s it is %s and follows %q, want %q", c.way, sight.Role, sight.Following, c.as)
		}
		if c.as == "" {
			must(t, s.Follow(t.Context(), "db2"))
		}
	}
	if got := standby.Ask(t, "select (current_setting('primary_conninfo') like '%passfile=%')::text"); got != "true" {
		t.Error("the server does not know of it")
	}
}

// TestWhoIsWaitedForIsWrittenAnew: a try that broke off left other names in the file than count, which whoever reads it next would have count.
func TestWhoIsWaitedForIsWrittenAnew(t *testing.T) {
	t.Parallel()
	c := pgtest.New(t, pgtest.Options{Settings: small})
	s := serverOf(t, c, nil)
	c.Exec(t, "alter system set synchronous_standby_names = 'ANY 1 (db3)'")
	if _, err := s.Count(t.Context(), cluster.Quorum{Step: 1, Epoch: 1, Primary: "db1", Names: []string{"db2"}}); err != nil {
		t.Fatal(err)
	}
	if got := c.Ask(t, "select coalesce(string_agg(setting, ' then '), '') from pg_file_settings where name = 'synchronous_standby_names'"); got != "" {
		t.Errorf("the file has commits wait for %s", got)
	}
}

// TestNobodyBringsAFormerPrimaryBack: whom a standby no longer follows it does not follow because its settings are read again.
func TestNobodyBringsAFormerPrimaryBack(t *testing.T) {
	t.Parallel()
	standby, s := followerOf(t, pgtest.New(t, pgtest.Options{Settings: small}))
	conninfo, err := s.conninfo("db2")
	must(t, err)
	must(t, s.Detach(t.Context()))
	standby.Exec(t, "alter system set primary_conninfo = "+literal(conninfo), "alter system set restore_command = 'false'") // as a try to follow that broke off
	if sight := look(t, s); sight.Following != "" {
		t.Fatal("that try did not break off")
	}
	must(t, s.Detach(t.Context()))
	reread(t, standby)
	time.Sleep(500 * time.Millisecond) // that nobody receives has no end to wait for
	if got := standby.Ask(t, "select current_setting('primary_conninfo') || current_setting('restore_command') || (select count(*) from pg_stat_wal_receiver)"); got != "0" {
		t.Errorf("it is to follow, and so many receive: %s", got)
	}
}

// TestWhomItFollowsIsWrittenToo: one that follows as it should is told again, because its file may say otherwise.
func TestWhomItFollowsIsWrittenToo(t *testing.T) {
	t.Parallel()
	standby, s := followerOf(t, pgtest.New(t, pgtest.Options{Settings: small}))
	must(t, s.Follow(t.Context(), "db2"))
	standby.Exec(t, "alter system set primary_conninfo = 'host=elsewhere'")
	must(t, s.Follow(t.Context(), "db2"))
	reread(t, standby)
	if sight := look(t, s); sight.Following != "db2" {
		t.Errorf("it follows %q", sight.Following)
	}
}

// TestWhatSomebodyElseWroteIsTold: the session that the agent keeps may read it before anybody else does, and is no witness.
func TestWhatSomebodyElseWroteIsTold(t *testing.T) {
	t.Parallel()
	standby, s := followerOf(t, pgtest.New(t, pgtest.Options{Settings: small}))
	must(t, s.Follow(t.Context(), "db2")) // what it was told last, that session takes in before its next statement
	s.c.Members["db2"] += " passfile=/elsewhere"
	conninfo, err := s.conninfo("db2")
	must(t, err)
	standby.Exec(t, "alter system set primary_conninfo = "+literal(conninfo))
	must(t, s.Follow(t.Context(), "db2"))
	if got := standby.Ask(t, "select current_setting('primary_conninfo')"); got != conninfo {
		t.Errorf("it follows %s, want %s", got, conninfo)
	}
}

// reread has a server read its files again, and waits until a new session has what they say.
func reread(t *testing.T, c *pgtest.Cluster) {
	t.Helper()
	const read = "select pg_conf_load_time()::text"
	before := c.Ask(t, read)
	c.Reload(t)
	enginetest.Until(t, time.Minute, "the settings to be read", func() bool { return c.Ask(t, read) != before })
}

// TestARetiredServerIsAStandbyOfNobodyWhoeverStartsIt, be it while it is retired: its service starts it as soon as it has ended.
func TestARetiredServerIsAStandbyOfNobodyWhoeverStartsIt(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the long form starts servers again and again")
	}
	standby, s := followerOf(t, pgtest.New(t, pgtest.Options{Settings: small}))
	signal := filepath.Join(standby.Dir, "standby.signal")
	for round := range 12 {
		must(t, s.Follow(t.Context(), "db2"))
		if round%2 == 1 { // as a promotion leaves it that broke off
			must(t, os.Remove(signal))
		}
		arguments, err := s.arguments()
		must(t, err)
		ctx, end := context.WithCancel(t.Context())
		var service sync.WaitGroup
		service.Go(func() {
			for ctx.Err() == nil { // each reads its settings before it knows whether it may run
				_ = standby.Programs.Command(s.user, "postgres", append([]string{"-D", standby.Dir}, arguments...)...).Run() // until it is stopped, or as another runs
			}
		})
		must(t, s.Retire(t.Context()))
		got := ""
		enginetest.Until(t, time.Minute, "its service to have started it", func() bool {
			row, err := s.ask(t.Context(), "select pg_is_in_recovery() || ' ' || current_setting('primary_conninfo') || current_setting('restore_command') || (select count(*) from pg_stat_wal_receiver)")
			if err == nil {
				got = row[0]
			}
			return err == nil
		})
		end()
		must(t, s.Stop(t.Context()))
		service.Wait()
		if _, err := os.Stat(signal); err != nil || got != "true 0" {
			t.Fatalf("round %d: it says %q, want one in recovery that is to follow nobody; %v", round, got, err)
		}
	}
	before, err := os.Stat(s.path(autoConf))
	must(t, err)
	must(t, s.Retire(t.Context()))
	after, err := os.Stat(s.path(autoConf))
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("what stood there already was written again, which a disk that takes no more would not have taken")
	}
}

// TestAStandbyIsHurried finds its primary gone, and is told when it is back: it does not sit out the minute for which it was to wait.
func TestAStandbyIsHurried(t *testing.T) {
	t.Parallel()
	primary := pgtest.New(t, pgtest.Options{Settings: small})
	standby := primary.Standby(t, "db1")
	standby.Exec(t, "alter system set wal_retrieve_retry_interval = '1min'", "select pg_reload_conf()")
	s := serverOf(t, standby, nil)
	must(t, s.Hurry(t.Context()))
	if said := standby.Ask(t, "select setting from pg_settings where name = 'wal_retrieve_retry_interval'"); said != "60000" {
		t.Fatalf("it waits for %s ms", said)
	}
	primary.Stop(t)
	comes := func(limit time.Duration, one string) bool {
		for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if standby.Ask(t, "select count(*) from "+one) == "1" {
				return true
			}
		}
		return false
	}
	const streaming = "pg_stat_wal_receiver where status = 'streaming'"
	if !comes(20*time.Second, "pg_stat_activity where backend_type = 'startup' and wait_event = 'RecoveryRetrieveRetryInterval'") {
		t.Fatal("it does not wait")
	}
	primary.Start(t)
	if comes(time.Second, streaming) {
		t.Error("it did not wait, so that this test shows nothing")
	}
	must(t, s.Hurry(t.Context()))
	if !comes(20*time.Second, streaming) {
		t.Error("it waits on")
	}
}

func TestATimelineThatIsTakenIsRefused(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the long form starts more servers")
	}
	c := pgtest.New(t, pgtest.Options{Settings: small})
	s := serverOf(t, c, nil)
	must(t, s.Stop(t.Context()))
	must(t, s.Start(t.Context(), cluster.Standby))
	name := filepath.Join(c.Dir, "pg_wal", "00000003.history")
	must(t, os.WriteFile(name, []byte("1\t0/10\tanother\n"), 0o600))
	if err := s.Lead(t.Context(), agent.Lead{Timeline: 3}, yes); err == nil {
		t.Error("promoted to a timeline that is another's")
	}
	if look(t, s).Role != cluster.Standby {
		t.Error("it was promoted")
	}
}

// TestStopEndsWhatHangs: frozen processes are gone when it returns, all of them.
func TestStopEndsWhatHangs(t *testing.T) {
	t.Parallel()
	c := pgtest.New(t, pgtest.Options{Settings: small})
	s := serverOf(t, c, nil)
	pid := c.Server().PID()
	backend := c.Connect(t).PgConn().PID()
	for _, p := range []int{int(backend), pid} {
		if out, err := exec.Command("kill", "-STOP", strconv.Itoa(p)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Look(ctx); err == nil {
		t.Error("a frozen server was seen")
	}
	begun := time.Now()
	must(t, s.Stop(t.Context()))
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
	if runs(pid, c.Dir) || runs(int(backend), c.Dir) {
		t.Error("a process is left")
	}
	if got := look(t, s); got.Role != cluster.Stopped {
		t.Errorf("role %s", got.Role)
	}
}

// TestStopEndsNobodyElse: whose data directory is gone, or was never there, is not taken for every server of the host.
func TestStopEndsNobodyElse(t *testing.T) {
	t.Parallel()
	other := pgtest.New(t, pgtest.Options{Settings: small})
	conn := other.Connect(t)
	gone := filepath.Join(t.TempDir(), "data")
	must(t, Halt(t.Context(), gone))
	must(t, Halt(t.Context(), t.TempDir()))
	if err := conn.Ping(t.Context()); err != nil {
		t.Errorf("another server was stopped: %v", err)
	}
	if all := processes(gone, 0); len(all) != 0 {
		t.Errorf("%v are said to be of a server on a folder that does not exist", all)
	}
}

// TestStopEndsWhatIsOnlyStarting: a start that was broken off has no postmaster.pid yet, and would be up a moment later.
func TestStopEndsWhatIsOnlyStarting(t *testing.T) {
	t.Parallel()
	c := pgtest.New(t, pgtest.Options{Settings: small})
	s := serverOf(t, c, nil)
	must(t, s.Stop(t.Context()))
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		started := make(chan error, 1)
		go func() { started <- s.Start(ctx, cluster.Primary) }()
		for len(processes(c.Dir, 0)) == 0 {
			time.Sleep(100 * time.Microsecond)
		}
		cancel()
		must(t, s.Stop(t.Context()))
		<-started
		time.Sleep(30 * time.Millisecond)
		if all := processes(c.Dir, 0); len(all) > 0 {
			t.Fatalf("processes %v are up after the stop", all)
		}
	}
}

// TestAServerOutlivesItsAgent, and the next agent finds it.
func TestAServerOutlivesItsAgent(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the long form starts more servers")
	}
	c := pgtest.New(t, pgtest.Options{Settings: small})
	s := serverOf(t, c, nil)
	must(t, s.Stop(t.Context()))
	must(t, s.Start(t.Context(), cluster.Standby))
	before, err := postmaster(c.Dir)
	must(t, err)
	next, err := New(s.c)
	must(t, err)
	defer next.Close()
	s.Close()
	if after, err := postmaster(c.Dir); err != nil || after != before || before == 0 {
		t.Errorf("process %d, was %d: %v", after, before, err)
	}
	if look(t, next).Role != cluster.Standby {
		t.Error("the next one does not see it")
	}
	s.ctx, s.cancel = context.WithCancel(context.Background()) // the test's end closes it again
	s.disk = watchDisk(c.Dir)
	if stat, err := os.ReadFile("/proc/" + strconv.Itoa(before) + "/stat"); err == nil {
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); fields[3] != strconv.Itoa(before) {
			t.Errorf("it is in session %s, which ends with our terminal", fields[3])
		}
	}
}

func TestForksAreFound(t *testing.T) {
	way, err := wal.ParseHistory(4, []byte("1\t0/1000\ta\n3\t0/2000\tb\n"))
	must(t, err)
	u := &upstream{way: way}
	u.system.Timeline = 4
	for _, c := range []struct {
		at   history.Position
		fork string
	}{
		{position(4, 0x9000), ""},
		{position(3, 0x2000), ""},
		{position(3, 0x2008), "0/2000"},
		{position(1, 0x1000), ""},
		{position(1, 0x1001), "0/1000"},
		{position(2, 0x500), "0/0"},
	} {
		fork := u.forked(c.at)
		if got := fork; (got == nil) != (c.fork == "") || got != nil && got.Mark != c.fork {
			t.Errorf("a log up to %s: forked at %v, want %q", c.at, got, c.fork)
		}
	}
}

func TestRecordEnds(t *testing.T) {
	for next, want := range map[wal.LSN]wal.LSN{0x2018: 0x2000, 0x1000028: 0x1000000, 0x2020: 0x2020, 0x2000: 0x2000} {
		if got := recordEnd(next); got != want {
			t.Errorf("before %s: %s, want %s", next, got, want)
		}
	}
}
