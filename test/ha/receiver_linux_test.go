package ha

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestReceiver has two servers and Backstay's receiver on a host of its own, which captures the cluster. The loss of a server stops no writes, as
// commits are at the receiver; nothing acknowledged is lost, and the history that is captured meanwhile has no gap.
func TestReceiver(t *testing.T) {
	s := newSite(t, plan{servers: bases[:2], receiver: "v3", failover: `{ mode: automatic, after: 1s, max_loss: 0B }`})
	s.sync = true
	s.whole(time.Minute)
	for _, n := range []nemesis{
		{name: "the primary's host is killed", do: func(s *site, p string) { s.lab.Host(p).Kill() }, changes: true, within: most},
		{name: "a replica's host is killed", do: func(s *site, p string) { s.lab.Host(s.other(p)).Kill() }, within: most},
		{name: "the receiver's host is killed", do: func(s *site, _ string) { s.lab.Host("v3").Kill() }, within: most},
		{name: "the primary's host is cut off", do: func(s *site, p string) { s.lab.Isolate(p) }, lasts: 6 * time.Second, over: healed, changes: true, within: most},
		{name: "the primary is changed as planned", do: func(s *site, p string) { s.switchover(p) }, changes: true, planned: true, within: most},
		{name: "only the receiver has the newest log", do: (*site).onlyReceived, changes: true, within: most},
	} {
		gap, ok := s.suffer(t, n)
		if !ok {
			t.Log(s.said())
			return
		}
		t.Logf("%s: no write for %s", n.name, gap.Round(time.Millisecond))
	}
	fetched := 0
	for _, host := range s.servers {
		text, err := os.ReadFile(s.logs[host])
		if err != nil {
			t.Fatal(err)
		}
		fetched += strings.Count(string(text), "from vault")
	}
	if fetched == 0 {
		t.Error("nothing was fetched from the receiver")
	}
	s.captured(t)
}

// onlyReceived has a replica get nothing for a moment, and then kills the primary's host: what was acknowledged meanwhile is at the receiver alone.
func (s *site) onlyReceived(primary string) {
	s.t.Helper()
	for _, line := range strings.Fields(s.members[primary].sql("select pid from pg_stat_replication where application_name like 'db%'")) {
		pid, err := strconv.Atoi(line)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			s.t.Error(err)
		}
	}
	time.Sleep(time.Second) // less than wal_receiver_timeout, after which the replica would ask again
	s.lab.Host(primary).Kill()
}

// captured waits until the repository has all that was written, and restores it.
func (s *site) captured(t *testing.T) {
	t.Helper()
	primary := s.members[s.hostOf(s.serving(time.Minute, ""))]
	const rows = "select count(*)::text || ' ' || coalesce(sum(id), 0)::text from appends"
	want, end := primary.sql(rows), time.Now()
	var st api.Status
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		out, err := s.backstay(s.receiver, "status", "--json")
		if err == nil {
			err = json.Unmarshal(out, &st)
		}
		if err == nil && len(st.Sources) == 1 && st.Sources[0].Repositories[0].DurableTime.After(end) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the repository does not have all: %v %+v\n%s", err, st, s.said())
		}
	}
	out, err := s.backstay(s.receiver, "history", "books", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var all []api.History
	if err := json.Unmarshal(out, &all); err != nil || len(all) != 1 || len(all[0].Gaps) > 0 || len(all[0].Windows) == 0 {
		t.Errorf("history: %v\n%s", err, out)
	}
	dir := filepath.Join(pgtest.Folder(t), "restored")
	if out, err := s.backstay(s.receiver, "restore", "books", "--into", dir); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	c := pgtest.Opened(t, pgtest.Default, dir, map[string]string{"synchronous_standby_names": "", "primary_conninfo": "", "listen_addresses": ""})
	c.Start(t)
	if have := c.Ask(t, rows); have != want {
		t.Errorf("restored %s, want %s", have, want)
	}
	t.Logf("restored rows and their sum: %s", want)
}
