package metrics

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/backstaydb/backstay/internal/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is the time of the fixtures.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const gib = 1 << 30

// wellStatus is a host on which all is as promised, at now; n grows from scrape to scrape.
func wellStatus(now time.Time, n int) api.Status {
	started := noon.Add(-72 * time.Hour)
	at := func(ago time.Duration) time.Time { return now.Add(-ago) }
	return api.Status{
		Version: "1.4.0", Running: true, PID: 41, Started: &started,
		Sources: []api.Source{
			{
				Name: "orders", URL: "postgres://backstay:geheim@10.0.0.5/", Engine: "postgres", Mode: "replication", State: "following",
				PositionTime: at(400 * time.Millisecond), BehindBytes: 8192, HeldBytes: 32 << 20, HoldsUp: 0, SpoolBytes: 48<<20 + int64(n)*4096, SpoolLimit: 10 * gib,
				Advice: []api.Advice{{Severity: "info", Text: "wal_compression is off"}},
				Repositories: []api.Repository{
					{
						Name: "local", Store: "/var/lib/backstay/repo", State: "ok", DurableTime: at(500 * time.Millisecond), LagSeconds: 0.3, LagP99: 0.31, LagMax: 0.9, LagBytes: 4096,
						Bases: 14, LastBase: at(9 * time.Hour), StoredBytes: 41*gib + int64(n)*65536,
					},
					{
						Name: "offsite", Store: "s3://key:geheim@acme-dr/shop", State: "ok", DurableTime: at(2 * time.Second), LagSeconds: 1.4, LagP99: 2.2, LagMax: 3.1, LagBytes: 90112,
						Bases: 14, LastBase: at(9 * time.Hour), StoredBytes: 41*gib + int64(n)*65536,
					},
				},
			},
			{
				Name: "sessions", URL: "sqlite:/srv/app/sessions.db", Engine: "sqlite", Mode: "wal", State: "following",
				PositionTime: at(20 * time.Second), HoldsUp: 0.0004, SpoolBytes: 1 << 20, SpoolLimit: 10 * gib,
				Repositories: []api.Repository{{
					Name: "local", Store: "/var/lib/backstay/repo", State: "ok", DurableTime: at(time.Second), LagP99: 0.28, LagMax: 0.3,
					Bases: 3, LastBase: at(70 * time.Hour), StoredBytes: 700 << 20,
				}},
			},
		},
		Clusters: []api.Cluster{{
			Name: "shop", Kind: "postgres", Mode: "automatic", Running: true, State: "serving", Primary: "db1", Epoch: 7,
			Members:   []api.ClusterMember{{Name: "db1", Role: "primary", LagSeconds: -1}, {Name: "db2", Role: "replica", LagSeconds: 0.25, LagBytes: 8192}, {Name: "db3", Role: "replica", LagSeconds: -1, LagBytes: 4096}},
			Listeners: []api.ClusterListener{{Role: "rw", Address: "127.0.0.1:6432", Open: 40, Accepted: 900 + int64(n), Moved: 38, Up: 5 << 20, Down: 80 << 20}},
		}},
	}
}

// tellWell tells m what a daemon on such a host would.
func tellWell(m *Metrics, now time.Time) {
	m.SetPromises([]Promise{
		{Source: "orders", Objective: "rpo", Measured: 1400 * time.Millisecond, Bound: 5 * time.Second},
		{Source: "orders", Objective: "rto", Measured: 4 * time.Minute, Bound: 10 * time.Minute},
		{Source: "orders", Objective: "drill", Measured: 8 * time.Hour, Bound: 24 * time.Hour},
		{Source: "orders", Objective: "copies"},
		{Source: "sessions", Objective: "window", Measured: 3 * 24 * time.Hour, Bound: 7 * 24 * time.Hour},
	}, []Finding{{Source: "sessions", Objective: "window", Severity: "warning", Excepted: true}})
	for _, source := range []string{"orders", "sessions"} {
		for kind, took := range map[string]time.Duration{"base/full": 11 * time.Minute, "drill": 4 * time.Minute, "check": 90 * time.Second} {
			m.KnowJob(Job{Source: source, Kind: kind, LastSuccess: now.Add(-9 * time.Hour), Took: took})
			m.JobDue(source, kind, now.Add(15*time.Hour))
			m.JobBegan(source, kind)
			m.JobEnded(source, kind, Done, took)
		}
	}
	m.JobEnded("orders", "base/full", Interrupted, time.Second)
	workStores(m)
}

// workStores is what a second of shipping does to the stores.
func workStores(m *Metrics) {
	for _, repository := range []string{"local", "offsite"} {
		m.StoreCall(repository, "put", 80*time.Millisecond, nil)
		m.StoreCall(repository, "list", 20*time.Millisecond, nil)
		m.StoreCall(repository, "open", 5*time.Millisecond, fs.ErrNotExist)
	}
}

// wellReceivers are those who hear of a healthy host.
func wellReceivers(now time.Time, n int) []Receiver {
	return []Receiver{{Name: "slack", Sent: 4 + n, Delivered: now.Add(-time.Hour)}, {Name: "pagerduty"}}
}

// sickReceivers are those who hear nothing of a sick one.
func sickReceivers(now time.Time, n int) []Receiver {
	return []Receiver{
		{Name: "slack", Sent: 9, Delivered: now.Add(-time.Hour), Waiting: 1, Failing: true},
		{Name: "smtp://backstay:geheim@mail.example/?to=ops@example.com", Lost: 2 + n, Waiting: 3, Failing: true, Dead: true},
	}
}

// sickStatus is a host on which everything is wrong that the rules know, at now.
func sickStatus(now time.Time, n int) api.Status {
	s := wellStatus(now, n)
	started := now // it dies at once, and is started again
	s.Started = &started
	orders := &s.Sources[0]
	orders.State, orders.Error = "failing", "connect: password authentication failed for postgres://backstay:geheim@10.0.0.5/"
	orders.SpoolBytes, orders.HeldBytes = 9*gib, 12*gib
	offsite := &orders.Repositories[1]
	offsite.State, offsite.LagSeconds, offsite.Error = "failing", 7200, "put: no route to host"
	shop := &s.Clusters[0]
	shop.State, shop.Primary, shop.Paused = "closed", "", true
	shop.Members[0].Role = "unknown"
	shop.Listeners[0].Held, shop.Listeners[0].Expired, shop.Listeners[0].Severed, shop.Listeners[0].Unknown = 31, 4, 2, 1
	sessions := &s.Sources[1]
	sessions.Repositories[0].State, sessions.Repositories[0].LagSeconds = "behind", 3600
	s.Sources = append(s.Sources, api.Source{
		Name: "fresh", Engine: "sqlite", State: "base", SpoolLimit: 10 * gib,
		Repositories: []api.Repository{{Name: "local", State: "empty"}},
	})
	return s
}

// tellSick tells m what a daemon on such a host would.
func tellSick(m *Metrics, now time.Time) {
	tellWell(m, now)
	m.SetPromises([]Promise{
		{Source: "orders", Objective: "rpo", Measured: 2 * time.Hour, Bound: 5 * time.Second},
		{Source: "orders", Objective: "rto", Measured: 12 * time.Minute, Bound: 10 * time.Minute},
		{Source: "orders", Objective: "drill", Measured: 40 * time.Hour, Bound: 24 * time.Hour},
	}, []Finding{
		{Source: "orders", Objective: "rpo", Severity: "critical"},
		{Source: "orders", Objective: "rto", Severity: "warning"},
		{Source: "orders", Objective: "drill", Severity: "warning", Excepted: true},
		{Source: "orders", Objective: "check", Severity: "warning"},
		{Source: "orders", Objective: "check", Severity: "warning", Excepted: true},
	})
	m.JobDue("orders", "drill", now.Add(-26*time.Hour))
	m.JobDue("orders", "check", now.Add(-26*time.Hour))
	m.JobEnded("orders", "base/full", Failed, time.Minute)
	m.StoreCall("offsite", "put", 30*time.Second, errors.New("no route to host"))
}
