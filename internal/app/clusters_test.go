package app

import (
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/notify"
)

func TestPeopleAreToldOfSickClusters(t *testing.T) {
	well := api.Cluster{Name: "shop", State: "serving", Members: []api.ClusterMember{{Name: "db1", Role: "primary"}, {Name: "db2", Role: "replica"}}}
	if got := clusterNotices(well); len(got) > 0 {
		t.Errorf("of a cluster that is well: %+v", got)
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
	data := t.TempDir()
	t.Setenv("TMPDIR", t.TempDir())
	release, err := hold(data, "pid 1, cluster shop")
	if err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if _, err := hold(data, "pid 2, cluster crm"); !errors.As(err, &held) || held.Owner != "pid 1, cluster shop" || held.Hint() == "" {
		t.Errorf("a second agent: %v", err)
	}
	release()
	again, err := hold(data, "pid 2, cluster crm")
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestClustersAreRefused is what config check says beside what the file's own rules do.
func TestClustersAreRefused(t *testing.T) {
	taken := freeAddress(t)
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
