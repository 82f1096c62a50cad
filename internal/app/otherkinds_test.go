package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/mysql/mysqltest"
	"github.com/backstaydb/backstay/internal/engine/redis/redistest"
	"github.com/backstaydb/backstay/internal/freeport"
)

// led is a cluster of two servers of some kind, one of which replicates from the other.
type led struct {
	urls    [2]string
	who     func(address string) (string, error) // which server is behind an address
	kill    func()                               // the first
	promote func()                               // the second
}

// TestTheAddressFollowsAChangedPrimary of kinds whose servers are led to and not promoted: somebody else makes another one primary.
func TestTheAddressFollowsAChangedPrimary(t *testing.T) {
	if testing.Short() {
		t.Skip("with servers: not with -short")
	}
	t.Run("mysql", func(t *testing.T) {
		t.Setenv("DB_AUTH", mysqltest.Password)
		a, b := mysqltest.New(t), mysqltest.New(t)
		b.Follow(t, a)
		url := func(s *mysqltest.Server) string { return "mysql://backstay@" + s.Address() + "?auth=env:DB_AUTH" }
		follows(t, led{
			urls: [2]string{url(a), url(b)}, kill: a.Kill, promote: func() { b.Promote(t) },
			who: func(at string) (string, error) {
				port, err := mysqltest.Say(at, "app", mysqltest.Password, "SELECT @@port")
				return map[string]string{fmt.Sprint(a.Port): "db1", fmt.Sprint(b.Port): "db2"}[port], err
			},
		})
	})
	t.Run("redis", func(t *testing.T) {
		t.Setenv("KV_AUTH", redistest.Password)
		a, b := redistest.New(t), redistest.New(t)
		b.Follow(t, a)
		url := func(s *redistest.Server) string { return "redis://" + s.Address() + "?auth=env:KV_AUTH" }
		follows(t, led{
			urls: [2]string{url(a), url(b)}, kill: a.Kill, promote: func() { b.Promote(t) },
			who: func(at string) (string, error) {
				text, err := redistest.Say(at, "CONFIG GET port")
				_, port, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", " "), "port ")
				_, port, _ = strings.Cut(port, " ") // its length comes first
				return map[string]string{fmt.Sprint(a.Port): "db1", fmt.Sprint(b.Port): "db2"}[port], err
			},
		})
	})
}

func follows(t *testing.T, l led) {
	rw, ro := freeport.Address(t), freeport.Address(t)
	h := runFile(t, fmt.Sprintf("clusters:\n  shop:\n    members:\n      db1: { url: %q }\n      db2: { url: %q }\n    listen: { rw: %q, ro: %q, max_replica_lag: 5s }\n    failover: external\n", l.urls[0], l.urls[1], rw, ro))
	leads := func(address, to string) {
		t.Helper()
		last := ""
		until(t, address+" leads to "+to, func() bool {
			got, err := l.who(address)
			last = fmt.Sprint(got, err)
			return err == nil && got == to
		}, func() string { return last })
	}
	leads(rw, "db1")
	leads(ro, "db2")
	l.kill()
	died := time.Now()
	l.promote()
	leads(rw, "db2")
	t.Logf("%s after the primary died", time.Since(died).Round(time.Millisecond))
	leads(ro, "db2")
	status, err := h.Status(t.Context())
	if err != nil || len(status.Clusters) != 1 || status.Clusters[0].Primary != "db2" || status.Clusters[0].Epoch < 2 {
		t.Errorf("status %+v, %v", status.Clusters, err)
	}
}
