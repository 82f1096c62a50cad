package ha

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// asEtcd makes the test's own program an etcd as anybody would run it, in the processes that it starts: its arguments are name, folder and the voters' addresses.
const asEtcd = "BACKSTAY_TEST_RUNS_ETCD"

const (
	etcdClients = 2379
	etcdPeers   = 2380
)

// runEtcd runs until ctx ends.
func runEtcd(ctx context.Context, name, dir string, members ...string) error {
	c := embed.NewConfig()
	c.Name, c.Dir, c.LogLevel = name, dir, "error"
	var all []string
	for _, m := range members {
		who, ip, _ := strings.Cut(m, "=")
		all = append(all, fmt.Sprintf("%s=http://%s:%d", who, ip, etcdPeers))
		if who == name {
			peers, clients := []url.URL{{Scheme: "http", Host: fmt.Sprintf("%s:%d", ip, etcdPeers)}}, []url.URL{{Scheme: "http", Host: fmt.Sprintf("%s:%d", ip, etcdClients)}}
			c.ListenPeerUrls, c.AdvertisePeerUrls, c.ListenClientUrls, c.AdvertiseClientUrls = peers, peers, clients, clients
		}
	}
	c.InitialCluster = strings.Join(all, ",")
	e, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	defer e.Close()
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.Err():
		return err
	}
}

// etcdCommand runs etcd on a voter's host.
func (s *site) etcdCommand(host string) *exec.Cmd {
	s.t.Helper()
	if s.folders[host] == "" {
		s.folders[host] = s.t.TempDir()
	}
	arguments := []string{host, s.folders[host]}
	for _, v := range voters {
		arguments = append(arguments, v+"="+s.lab.Host(v).IP)
	}
	cmd := s.command(host, arguments...)
	cmd.Env = append(os.Environ(), asEtcd+"=1")
	return cmd
}

// TestAnEtcdOfItsOwn has the cluster's state in an etcd that others run too, with its own pace: it elects a leader in a second, not in a fifth of one.
func TestAnEtcdOfItsOwn(t *testing.T) {
	newSite(t, plan{etcd: true, failover: `{ mode: automatic, after: 1s, max_loss: 0B }`}).sufferAll(t, []nemesis{
		{name: "the primary's host is killed", do: func(s *site, p string) { s.lab.Host(p).Kill() }, changes: true, within: most},
		{name: "the primary's host is cut off", do: func(s *site, p string) { s.lab.Isolate(p) }, lasts: 6 * time.Second, over: healed, changes: true, within: most},
		{name: "an etcd's host is killed", do: func(s *site, _ string) { s.lab.Host("v1").Kill() }, within: most},
		{name: "two etcds are killed", do: func(s *site, _ string) { s.lab.Host("v1").Kill(); s.lab.Host("v2").Kill() }, lasts: 4 * time.Second, within: most},
		{name: "the primary is changed as planned", do: func(s *site, p string) { s.switchover(p) }, changes: true, planned: true, within: most},
	}, true)
}
