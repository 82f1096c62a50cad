package ha

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/test/ha/lab"
	"github.com/backstaydb/backstay/test/self"
)

var (
	voters    = []string{"v1", "v2", "v3"}
	bases     = []string{"d1", "d2", "d3"} // hosts with a server
	listeners = []string{"a1", "a2"}
)

// site is a cluster of real processes.
type site struct {
	t       *testing.T
	lab     *lab.Lab
	members map[string]*member // by host
	folders map[string]string  // of the daemons, by host
	daemons map[string]*lab.Process
	disks   map[string]*lab.Disk // of the servers, by host
	logs    map[string]string
	rounds  int
	sync    bool   // acknowledged is what a replica has too
	start   string // where the round's log begins

	plan
}

// plan is what a site is made of.
type plan struct {
	servers  []string // hosts with a server; nil: all of bases
	receiver string   // host that captures the cluster as source books, and is a member of it as vault; "": none does
	failover string   // group of that name in backstay.yaml
	tls      bool     // between hosts
	etcd     bool     // the voters' hosts run an etcd, and nothing of ours
}

// desk is a host at which a person runs commands.
func (p plan) desk() string {
	if p.etcd {
		return listeners[0]
	}
	return voters[0]
}

// hosts are all that run something.
func (s *site) hosts() []string { return slices.Concat(voters, s.servers, listeners) }

// houses are those of them that run backstay.
func (s *site) houses() []string {
	if s.etcd {
		return s.hosts()[len(voters):]
	}
	return s.hosts()
}

// newSite makes a cluster that serves.
func newSite(t *testing.T, p plan) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("with eight hosts: not with -short")
	}
	if p.servers == nil {
		p.servers = bases
	}
	s := &site{t: t, plan: p, lab: lab.New(t, slices.Concat(voters, bases, listeners)...), members: map[string]*member{}, folders: map[string]string{}, daemons: map[string]*lab.Process{},
		disks: map[string]*lab.Disk{}, logs: map[string]string{}}
	pass := passfile(t)
	for i, host := range s.servers {
		s.disks[host] = lab.NewDisk(t, megabytes())
		m := newMember(t, fmt.Sprintf("db%d", i+1), s.lab.Host(host), s.disks[host])
		m.pass, m.tls, s.members[host] = pass, p.tls, m
	}
	t.Cleanup(s.end)
	first := s.members["d1"]
	first.primary()
	first.sql("create role backstay login replication password '" + pgtest.Password + "'; create role app login password '" + pgtest.Password + "'")
	for _, host := range s.servers[1:] {
		s.members[host].standby(first)
	}
	s.file()
	s.grant()
	if p.etcd {
		for _, host := range voters {
			s.daemon(host)
		}
	}
	s.join()
	syscall.Sync() // three copies of a server are written now, and not beside what is tested: a disk that takes nothing for a second is a loss
	for _, host := range s.hosts() {
		s.daemon(host)
	}
	s.serving(time.Minute, "")
	return s
}

// file writes the one file that all hosts run.
func (s *site) file() {
	s.t.Helper()
	var b strings.Builder
	if s.receiver != "" {
		fmt.Fprintf(&b, "repositories: { local: { store: %s } }\nsources: { books: { url: \"cluster:shop\", repositories: [local] } }\n", filepath.Join(s.t.TempDir(), "repo"))
	}
	if s.etcd {
		var urls []string
		for _, host := range voters {
			urls = append(urls, fmt.Sprintf("\"http://%s:%d\"", s.lab.Host(host).IP, etcdClients))
		}
		fmt.Fprintf(&b, "coordination: { etcd: [%s] }\nhosts:\n", strings.Join(urls, ", "))
	} else {
		fmt.Fprintf(&b, "coordination: { embedded: { peers: [%s] } }\nhosts:\n", strings.Join(voters, ", "))
	}
	for _, host := range s.houses() {
		fmt.Fprintf(&b, "  %s: { address: \"%s:%d\" }\n", host, s.lab.Host(host).IP, config.PeerPort)
	}
	b.WriteString("clusters:\n  shop:\n    members:\n")
	for _, host := range s.servers {
		m := s.members[host]
		fmt.Fprintf(&b, "      %s: { url: \"postgres://backstay@%s:%d/?sslmode=%s&passfile=%s\", host: %s, data: %s, programs: %s, local: \"postgres://%s@/postgres?host=%s&port=%d\", guard: true }\n",
			m.name, m.host.IP, memberPort, m.sslmode(), m.pass, host, m.dir, m.programs.Dir, pgtest.Admin, m.sockets, memberPort)
	}
	if s.receiver != "" {
		fmt.Fprintf(&b, "      vault: { receiver: true, host: %s }\n", s.receiver)
	}
	fmt.Fprintf(&b, "    listen: { rw: \"0.0.0.0:6432\", ro: \"0.0.0.0:6433\", health: \"0.0.0.0:6434\", ask_idle: 200ms, hosts: [%s] }\n    failover: %s\n", strings.Join(listeners, ", "), s.failover)
	for _, host := range s.houses() {
		s.folders[host] = s.t.TempDir()
		if err := os.WriteFile(filepath.Join(s.folders[host], config.Name), []byte(b.String()), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// command is backstay in a host's folder. BACKSTAY_HA_OLDER names a binary of the release before, which every second host then runs.
func (s *site) command(host string, arguments ...string) *exec.Cmd {
	s.t.Helper()
	cmd, err := self.Command(context.Background(), s.folders[host], arguments...)
	if err != nil {
		s.t.Fatal(err)
	}
	if older := os.Getenv("BACKSTAY_HA_OLDER"); older != "" && strings.HasSuffix(host, "2") {
		cmd.Path = older
	}
	cmd.Env = append(cmd.Env, "PGPASSWORD=")
	return cmd
}

// backstay runs a command on a host.
func (s *site) backstay(host string, arguments ...string) ([]byte, error) {
	s.t.Helper()
	cmd := s.command(host, arguments...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	p, err := s.lab.Host(host).Start("backstay "+arguments[0], cmd)
	if err != nil {
		return nil, err
	}
	p.Wait()
	if p.Code() != 0 {
		return out.Bytes(), fmt.Errorf("backstay %s on %s: exit code %d\n%s%s", strings.Join(arguments, " "), host, p.Code(), &out, &said)
	}
	return out.Bytes(), nil
}

// grant gives the role the rights that cluster init asks for, and no more, and waits until the replicas know.
func (s *site) grant() {
	s.t.Helper()
	check := func() (found api.ClusterCheck) {
		out, _ := s.backstay(s.desk(), "cluster", "init", "shop", "--host", s.desk(), "--dry-run", "--json") // it refuses while they are missing
		if err := json.Unmarshal(out, &found); err != nil || len(found.Refused) > 0 {
			s.t.Fatalf("cluster init --dry-run: %v\n%s", err, out)
		}
		return found
	}
	missing := check()
	s.members["d1"].sql(strings.Join(slices.Concat(missing.SQL, missing.Wishes), "\n"))
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		have := check()
		if len(have.SQL)+len(have.Wishes) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("what was granted is missing: %q %q", have.SQL, have.Wishes)
		}
	}
}

// join certifies the hosts.
func (s *site) join() {
	s.t.Helper()
	out, err := s.backstay(s.desk(), "cluster", "init", "shop", "--host", s.desk(), "--json")
	if err != nil {
		s.t.Fatal(err)
	}
	var found api.ClusterCheck
	if err := json.Unmarshal(out, &found); err != nil || len(found.Tokens) != len(s.houses())-1 {
		s.t.Fatalf("cluster init: %v\n%s", err, out)
	}
	s.daemon(s.desk())
	for _, token := range found.Tokens {
		var err error
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if _, err = s.backstay(token.Host, "cluster", "join", "--host", token.Host, token.Token); err == nil || time.Now().After(deadline) {
				break
			}
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// daemon starts what runs on a host, backstay or etcd, if it does not run, as the service manager does.
func (s *site) daemon(host string) {
	s.t.Helper()
	if p := s.daemons[host]; p != nil && !p.Ended() {
		return
	}
	if s.logs[host] == "" {
		s.logs[host] = filepath.Join(cmp.Or(os.Getenv("BACKSTAY_HA_LOGS"), s.t.TempDir()), host+".log")
	}
	log, err := os.OpenFile(s.logs[host], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = log.Close() }) // it is only for people
	cmd := s.command(host, "run", "--host", host)
	if s.etcd && slices.Contains(voters, host) {
		cmd = s.etcdCommand(host)
	}
	cmd.Stdout = &stamper{to: log}
	cmd.Stderr, cmd.WaitDelay = cmd.Stdout, time.Second // a guard outlives its agent, and holds the pipe open
	if s.daemons[host], err = s.lab.Host(host).Start("backstay", cmd); err != nil {
		s.t.Fatal(err)
	}
}

// primary is the member that a listener's host leads to, "" if it leads nowhere.
func (s *site) primary(host string) string {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return s.lab.Host(host).Dial(ctx, network, address)
	}, DisableKeepAlives: true}}
	answer, err := client.Get("http://" + s.lab.Host(host).IP + ":6434/primary")
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	var where struct{ Primary string }
	if json.NewDecoder(answer.Body).Decode(&where) != nil {
		return ""
	}
	return where.Primary
}

// serving waits until all listeners lead to one primary, which is not one.
func (s *site) serving(limit time.Duration, not string) string {
	s.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		one, two := s.primary("a1"), s.primary("a2")
		if one != "" && one == two && one != not {
			return one
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("after %s the listeners lead to %q and %q\n%s", limit, one, two, s.said())
		}
	}
}

// whole waits until every member follows the primary or is it, by the keeper's word and the primary's, for a second: then the
// cluster can bear the next loss. Whoever is about to be copied anew still seems to follow for a moment.
func (s *site) whole(limit time.Duration) {
	s.t.Helper()
	var last string
	since := time.Now()
	for deadline := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		c, err := s.status(s.desk())
		ok := err == nil && c.Phase == "serving" && len(c.Members) >= len(s.servers)
		for _, m := range c.Members {
			ok = ok && (m.Name == c.Primary && m.Role == "primary" || (m.Role == "replica" || m.Role == "receiver") && m.Following == c.Primary && m.LagBytes < 1<<20)
		}
		if ok {
			var streaming string
			streaming, err = s.members[s.hostOf(c.Primary)].ask("select count(*) from pg_stat_replication where state = 'streaming' and application_name like 'db%'")
			ok = err == nil && streaming == strconv.Itoa(len(s.servers)-1)
		}
		if !ok {
			since = time.Now()
		} else if time.Since(since) > time.Second {
			return
		}
		if last = fmt.Sprintf("%+v %v", c, err); time.Now().After(deadline) {
			s.t.Fatalf("after %s the cluster is not whole: %s\n%s", limit, last, s.said())
		}
	}
}

// sql runs statements on the primary. They can be run again: it may change at any moment, which is not what is tested here.
func (s *site) sql(statements string) string {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		primary := s.serving(time.Minute, "")
		out, err := s.members[s.hostOf(primary)].ask(statements)
		if err == nil {
			return out
		}
		s.t.Logf("%s was asked as primary: %v", primary, err)
		if time.Now().After(deadline) {
			s.t.Fatal(s.said())
		}
	}
}

func (s *site) status(host string) (c api.Cluster, err error) {
	out, err := s.backstay(host, "cluster", "status", "shop", "--json")
	if err != nil {
		return c, err
	}
	var all []api.Cluster
	if err := json.Unmarshal(out, &all); err != nil || len(all) != 1 {
		return c, fmt.Errorf("cluster status: %w: %s", err, out)
	}
	return all[0], nil
}

// hostOf is where a member's server is.
func (s *site) hostOf(name string) string {
	s.t.Helper()
	for host, m := range s.members {
		if m.name == name {
			return host
		}
	}
	s.t.Fatalf("there is no member %q", name)
	return ""
}

// said is the end of what the daemons said. BACKSTAY_HA_LOGS names a folder that keeps all of it.
func (s *site) said() string {
	var b strings.Builder
	for _, host := range slices.Concat(s.servers, voters, listeners) {
		text, err := os.ReadFile(s.logs[host])
		fmt.Fprintf(&b, "--- %s %v\n%s", host, err, text[max(0, len(text)-2000):])
	}
	for _, host := range s.servers {
		fmt.Fprintf(&b, "--- server of %s\n%s", host, s.members[host].tail())
	}
	return b.String()
}

// end stops everything before the disks are taken away.
func (s *site) end() {
	for _, d := range s.disks {
		if d != nil {
			d.Thaw()
		}
	}
	s.lab.Heal()
	for _, host := range slices.Concat(listeners, bases, voters) {
		s.lab.Host(host).Kill()
	}
}
