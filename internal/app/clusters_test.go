package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/cluster/keeper"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/freeport"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/notify"
)

func TestPeopleAreToldOfSickClusters(t *testing.T) {
	well := api.Cluster{Name: "shop", State: "serving", Members: []api.ClusterMember{{Name: "db1", Role: "primary"}, {Name: "db2", Role: "replica"}}}
	if got := clusterNotices(well); len(got) > 0 {
		t.Errorf("of a cluster that is well: %+v", got)
	}
	alone := well
	alone.Primary, alone.Hindrance = "db1", "no other member is fit to be primary"
	if got := clusterNotices(alone); len(got) != 1 || got[0].Fingerprint != "heir/shop" || settles["heir"] == 0 || got[0].Do == "" {
		t.Errorf("of one whose primary nobody could replace: %+v", got)
	}
	sick := api.Cluster{Name: "shop", State: "closed", Reason: "db1 was silent for 2s", Next: "endure: nobody can take over", Degraded: true,
		Members: []api.ClusterMember{{Name: "db1", Role: "unknown", Error: "connection refused"}, {Name: "db2", Role: "replica"}}}
	got := map[string]notify.Severity{}
	for _, n := range clusterNotices(sick) {
		if n.Reason == "" || n.Do == "" || settles[n.Objective] == 0 {
			t.Errorf("%+v", n)
		}
		got[n.Fingerprint] = n.Severity
	}
	want := map[string]notify.Severity{"primary/shop": notify.Critical, "member/shop/db1": notify.Warning, "sync/shop": notify.Critical}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAServerHasOneAgent(t *testing.T) {
	data, link := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(data, link); err != nil {
		t.Skip(err)
	}
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none")) // a service's may be missing, or one that nothing can be written to
	release, err := hold(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir()) // and another one's its own
	for _, name := range []string{data, link} {
		var held *HeldError
		if _, err := hold(name); !errors.As(err, &held) || held.Hint() == "" {
			t.Errorf("a second agent of %s: %v", name, err)
		} else if pid := fmt.Sprintf("pid %d, ", os.Getpid()); held.Owner != "" && !strings.HasPrefix(held.Owner, pid) {
			t.Errorf("%s is held by %q, want %s", name, held.Owner, pid)
		}
	}
	release()
	again, err := hold(data)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestClustersAreRefused is what config check says beside what the file's own rules do.
func TestClustersAreRefused(t *testing.T) {
	taken := freeport.Address(t)
	hold, err := net.Listen("tcp", taken)
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	for name, c := range map[string]struct{ file, want string }{
		"no loss without synchronous replication": {`failover: { max_loss: 0B, sync: 0 }`, "cluster shop: max_loss 0 needs synchronous replication, and none is asked for; db1, db2, db3: nobody can stop it when it is cut off, and with asynchronous replication it would go on answering: automatic failover is unsafe"},
		"automatic over SQL alone":                {`failover: { max_loss: 1MiB }`, "cluster shop: db1, db2, db3: nobody can stop it when it is cut off, and with asynchronous replication it would go on answering: automatic failover is unsafe"},
		"a person accepts that":                   {`failover: { max_loss: 1MiB, unfenced: true }`, ""},
		"synchronous":                             {`failover: { max_loss: 0B }`, ""},
		"more than there are":                     {`failover: { sync: 3 }`, "cluster shop: sync: 3, but a primary has 2 other members"},
		"all of them":                             {`failover: { sync: 2 }`, "cluster shop: sync: 2 of 2: the loss of any member stops all writes"},
		"a port that is taken":                    {`listen: { rw: "` + taken + `" }`, "cluster shop: the port of listener " + taken + " is taken"},
		"an address of another host":              {`listen: { rw: "192.0.2.7:6432" }`, "cluster shop: the address of listener 192.0.2.7:6432 is none of this host's"},
		"another host listens there":              {`listen: { rw: "` + taken + `", ro: "192.0.2.7:6432", hosts: [web1] }`, ""},
		"somebody else manages it":                {`failover: external`, ""},
		"the same server, spelled in another way": {`failover: external` + "\n  crm: { failover: external, members: { a: { url: \"postgresql://b@10.0.0.2\" } } }", "cluster shop: member db1: 10.0.0.2:5432 is the server of member a of cluster crm too: a server belongs to one cluster, once"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Parse("f", []byte("clusters:\n  shop:\n    members: { db1: { url: \"postgres://10.0.0.2/\" }, db2: { url: \"postgres://10.0.0.3/\" }, db3: { url: \"postgres://10.0.0.4/\" } }\n    "+c.file+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			cfg.Path = t.TempDir() + "/f"
			err = NewHost(cfg, nil).CheckClusters(t.Context())
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("refused with\n%s\nwant\n%s", got, c.want)
			}
			var refused *RefusedError
			if errors.As(err, &refused) && refused.Hint() == "" {
				t.Error("nothing is said of what to do")
			}
		})
	}
}

// TestPeopleAreToldWhatAPromotionRisked, and of log that is taken back: both would be found only by who looks for it.
func TestPeopleAreToldWhatAPromotionRisked(t *testing.T) {
	open := keeper.Event{Kind: keeper.Changed, Epoch: 8, Phase: cluster.Serving, Row: "open", Text: "db2 is primary"}
	if n := changeNotice("shop", open); n.Severity != notify.Info || n.Reason == "" {
		t.Errorf("nothing is lost: %+v", n)
	}
	open.Risk = "what db1 wrote after that may be lost, which max_loss allows"
	open.Text += "; " + open.Risk
	if n := changeNotice("shop", open); n.Severity != notify.Warning || !strings.Contains(n.Reason, open.Risk) || n.Do == "" {
		t.Errorf("something may be lost: %+v", n)
	}
	if n := changeNotice("shop", keeper.Event{Kind: keeper.Changed, Phase: cluster.Serving, Row: "drop old quorum", Risk: open.Risk}); n.Reason != "" {
		t.Errorf("told again: %+v", n)
	}

	saved := aside{member: "db1", from: history.At(3, 700), to: history.At(3, 1000), dir: "/var/aside/tail-1"}
	for _, text := range []string{saved.entry("shop").Why, saved.notice("shop").Reason} {
		for _, want := range []string{"db1", "300 bytes", "3/700", "3/1000", saved.dir} {
			if !strings.Contains(text, want) {
				t.Errorf("%q lacks %s", text, want)
			}
		}
	}
	if e, n := saved.entry("shop"), saved.notice("shop"); e.Bytes != 300 || e.Objects[0] != saved.dir || e.Source != "shop" || n.Severity != notify.Warning || n.Do == "" {
		t.Errorf("%+v, %+v", e, n)
	}
	saved.from = history.At(3, 0)
	if e := saved.entry("shop"); e.Bytes != 0 || strings.Contains(e.Why, "1000 bytes") {
		t.Errorf("it is not known where it parted: %+v", e)
	}
}

// TestAnotherPrimaryThanWasAskedForIsAFailure: the command's exit code says so, and the audit log.
func TestAnotherPrimaryThanWasAskedForIsAFailure(t *testing.T) {
	m := &managed{name: "shop"}
	s := cluster.State{Phase: cluster.Serving, Primary: "db3", Epoch: 9, Reason: "db3 is primary"}
	for to, want := range map[string]audit.Outcome{"db3": audit.OK, "": audit.OK, "db2": audit.Failed} {
		out, err := m.came(cluster.Request{Kind: cluster.Failover, To: to}, s)
		if got := outcomeOf(err); got != want || out.Primary != "db3" || err != nil && (!strings.Contains(err.Error(), "db3 became primary at epoch 9, not db2") || hintOf(err) == "") {
			t.Errorf("to %q: %s: %+v, %v", to, got, out, err)
		}
	}
	if got := outcomeOf(&keeper.RefusedError{Reason: "db2 does not answer"}); got != audit.Refused {
		t.Errorf("refused: %s", got)
	}
}

// TestMembersAreShownAsTheirPrimarySeesThem: who lags, by how much, and who is sent nothing; nothing of that where the primary is silent.
func TestMembersAreShownAsTheirPrimarySeesThem(t *testing.T) {
	m := &managed{decided: cluster.Config{Peers: []cluster.Peer{{Name: "db1"}, {Name: "db2"}, {Name: "db3"}, {Name: "db4"}}}.WithDefaults()}
	now := time.Minute
	s := keeper.Status{Now: now, Known: true, State: cluster.State{Phase: cluster.Serving, Primary: "db1"}}
	for _, p := range m.decided.Peers {
		s.View.Facts = append(s.View.Facts, cluster.Fact{Name: p.Name, Answered: now, Role: cluster.Standby, Following: "db1", Stalled: cluster.Never})
	}
	p := &s.View.Facts[0]
	p.Role, p.Received = cluster.Primary, history.At(1, 1000)
	p.Streams = []cluster.Stream{{Name: "db2", Flushed: history.At(1, 1000)}, {Name: "db3", Flushed: history.At(1, 400)}}
	type lag struct {
		Seconds  float64
		Bytes    uint64
		NoStream bool
	}
	shown := func() (all []lag) {
		for _, m := range m.shown(s, time.Now()) {
			all = append(all, lag{m.LagSeconds, m.LagBytes, m.NoStream})
		}
		return all
	}
	if diff := cmp.Diff([]lag{{-1, 0, false}, {0, 0, false}, {-1, 600, false}, {-1, 0, true}}, shown()); diff != "" {
		t.Error(diff)
	}
	p.Answered = now - m.decided.After - 1
	if diff := cmp.Diff([]lag{{-1, 0, false}, {-1, 0, false}, {-1, 0, false}, {-1, 0, false}}, shown()); diff != "" {
		t.Errorf("the primary is silent: %s", diff)
	}
}
