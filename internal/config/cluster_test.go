package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/cluster"
)

// clustered is the file of the issue, with all that a member may say.
const clustered = `clusters:
  shop:
    members: { db1: { url: "postgres://backstay@10.0.0.2/", priority: 100, host: ha1, guard: true, data: /srv/pg }, db2: { url: "postgres://backstay@10.0.0.3/", host: ha2, data: /srv/pg },
      db3: { url: "postgres://backstay@10.0.0.4/", nofailover: true }, aa: { url: "postgres://backstay@10.0.0.5/" } }
    listen:  { rw: "127.0.0.1:6432", ro: "127.0.0.1:6433", max_replica_lag: 2s }
    failover: { mode: automatic, after: 750ms, max_loss: 0B }
  old: { members: { a: { url: "postgres://10.0.1.2/" } }, failover: external }
  kv:  { members: { a: { url: "redis://10.0.2.2/" } } }
coordination: { embedded: { peers: [ha1, ha2, ha3] } }
hosts: { ha1: { address: 10.0.0.2 }, ha2: { address: "10.0.0.3:9999" } }
`

func TestClustersMeanWhatTheySay(t *testing.T) {
	c, err := Parse(Name, []byte(clustered))
	if err != nil {
		t.Fatal(err)
	}
	shop := c.Clusters["shop"]
	if diff := cmp.Diff([]string{"db1", "db2", "db3", "aa"}, shop.Order); diff != "" {
		t.Errorf("the order of the file is lost: %s", diff)
	}
	if !shop.Managed() || c.Clusters["old"].Managed() || c.Clusters["kv"].Managed() {
		t.Error("who manages the clusters is not as the file says")
	}
	got := c.Decided("shop", func(url string) string {
		return strings.TrimSuffix(strings.TrimPrefix(url, "postgres://backstay@"), "/") + ":5432"
	})
	want := cluster.Config{Cluster: "shop", After: 750 * time.Millisecond, Sync: 1, Peers: []cluster.Peer{
		{Name: "db1", Address: "10.0.0.2:5432", Agent: "10.0.0.2:7430", Priority: 100, Guard: true},
		{Name: "db2", Address: "10.0.0.3:5432", Agent: "10.0.0.3:9999"},
		{Name: "db3", Address: "10.0.0.4:5432", NoFailover: true, Bare: true},
		{Name: "aa", Address: "10.0.0.5:5432", Bare: true},
	}}.WithDefaults()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSynchronousReplicationFollowsTheLoss(t *testing.T) {
	none, two := 0, 2
	for _, c := range []struct {
		f    Failover
		want int
	}{
		{Failover{Mode: Automatic}, 1},
		{Failover{Mode: Automatic, MaxLoss: 1 << 20}, 0},
		{Failover{Mode: Automatic, MaxLoss: 1 << 20, Sync: &two}, 2},
		{Failover{Mode: Automatic, Sync: &none}, 0}, // and refused
		{Failover{Mode: External}, 0},
	} {
		if got := c.f.Synchronous(); got != c.want {
			t.Errorf("%+v: %d members must have a commit, want %d", c.f, got, c.want)
		}
	}
}

func TestSpansOfMilliseconds(t *testing.T) {
	for text, want := range map[string]time.Duration{"750ms": 750 * time.Millisecond, "2s": 2 * time.Second, "3m": 3 * time.Minute} {
		s, err := ParseSpan(text)
		if err != nil || time.Duration(s) != want || s.String() != text {
			t.Errorf("%s is %v, printed %s, %v", text, time.Duration(s), s, err)
		}
	}
}

func TestAClusterIsCapturedByOneHost(t *testing.T) {
	c, err := Parse(Name, []byte(`repositories: { local: { store: ./repo } }
sources: { books: { url: "cluster:shop", repositories: [local] }, app: { url: "sqlite:./app.db", repositories: [local] }, logs: { url: "sqlite:./logs.db", repositories: [local], host: ha1 } }
clusters: { shop: { members: { a: { url: "postgres://10.0.0.2/", host: ha1, data: /srv/a }, vault: { receiver: true, host: ha3 } } } }
`))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]string{"ha1": {"app", "logs"}, "ha3": {"app", "books"}, "web": {"app"}} {
		own := c.On(host)
		if diff := cmp.Diff(want, own.SourceNames()); diff != "" {
			t.Errorf("%s: %s", host, diff)
		}
		if diff := cmp.Diff([]string{"app", "books", "logs"}, own.All().SourceNames()); diff != "" {
			t.Errorf("%s knows of: %s", host, diff)
		}
	}
	if len(c.Sources) != 3 || c.SourceOf("shop") != "books" || c.Clusters["shop"].Receiver() != "vault" || len(c.Clusters["shop"].Servers()) != 1 {
		t.Errorf("the file itself: %+v", c.Sources)
	}
	if p := c.Decided("shop", func(string) string { return "" }).Peers[1]; !p.Receiver || p.Bare || p.Agent != "ha3:7430" {
		t.Errorf("the receiver is %+v", p)
	}
}
