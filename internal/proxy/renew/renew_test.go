package renew

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// holder is an agent.
type holder struct {
	mu    sync.Mutex
	route route.Route // that it grants; nothing with State ""
	hangs bool
	asked []route.Ask
}

func (h *holder) Grant(ctx context.Context, ask route.Ask) (route.Route, error) {
	h.mu.Lock()
	hangs, answer := h.hangs, h.route
	h.asked = append(h.asked, ask)
	h.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return route.Route{}, ctx.Err()
	}
	if answer.State == "" {
		return route.Route{}, errors.New("holds no epoch")
	}
	return answer, nil
}

func (h *holder) set(r route.Route, hangs bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.route, h.hangs = r, hangs
}

func (h *holder) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.asked)
}

const lease = 600 * time.Millisecond

func serving(epoch uint64, member string) route.Route {
	return route.Route{Cluster: "shop", Epoch: epoch, Version: epoch, State: route.Serving, Primary: member, Address: member + ":5432", For: lease}
}

func start(t *testing.T, holders ...*holder) (*Renewer, *proxy.Table) {
	t.Helper()
	table := proxy.NewTable()
	c := Config{Cluster: "shop", Host: "ha1", Table: table, Lease: lease}
	for i, h := range holders {
		c.Holders = append(c.Holders, Granter{Member: []string{"db1", "db2", "db3"}[i], Granter: h})
	}
	r := New(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	return r, table
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 5s: %s", what)
		}
	}
}

func primary(table *proxy.Table) string {
	if v := table.View(); v.Open() == route.Serving {
		return v.Primary
	}
	return ""
}

func TestARouteIsRenewedByItsHolder(t *testing.T) {
	db1, db2 := &holder{hangs: true}, &holder{route: serving(3, "db2")}
	_, table := start(t, db1, db2)
	await(t, "the holder is found beside a host that hangs", func() bool { return primary(table) == "db2" })
	asked := db1.count()
	for end := time.Now().Add(2 * lease); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if primary(table) != "db2" {
			t.Fatal("the route ended though its holder renews it")
		}
	}
	if n := db1.count(); n != asked {
		t.Errorf("who holds nothing was asked %d times beside the holder", n-asked)
	}
	db2.set(route.Route{}, false)
	await(t, "the route ends by itself", func() bool { return table.View().Open() == route.Closed })
	db1.set(serving(4, "db1"), false)
	await(t, "the next holder is found", func() bool { return primary(table) == "db1" })
	db2.set(serving(3, "db2"), false)
	time.Sleep(lease / 2)
	if primary(table) != "db1" {
		t.Error("an older epoch counts again")
	}
}

func TestKeepersTellAndGiveNoTime(t *testing.T) {
	db1, db2 := &holder{route: serving(3, "db1")}, &holder{}
	r, table := start(t, db1, db2)
	await(t, "a route", func() bool { return primary(table) == "db1" })
	at, err := table.Attach(table.View())
	if err != nil {
		t.Fatal(err)
	}
	closed := route.Route{Cluster: "shop", Epoch: 4, Version: 4, State: route.Closed, For: time.Hour}
	ack, heard, err := r.Tell(t.Context(), closed)
	if err != nil || ack.Epoch != 4 || ack.Closed || ack.Proxy != r.ID() || heard < 0 || heard > lease {
		t.Errorf("with a connection that stands: %+v, heard %v, %v", ack, heard, err)
	}
	at.Detach()
	if ack, _, err = r.Tell(t.Context(), closed); err != nil || !ack.Closed {
		t.Errorf("with none: %+v, %v", ack, err)
	}
	if ack, _, err = r.Tell(t.Context(), serving(3, "db1")); err != nil || ack.Epoch != 4 || primary(table) != "" {
		t.Errorf("an older word: %+v, %v", ack, err)
	}
	told := serving(5, "db2")
	if _, _, err := r.Tell(t.Context(), told); err != nil || primary(table) != "" {
		t.Errorf("a keeper's word carries: %v", err)
	}
	before := time.Now()
	db2.set(told, false)
	if _, _, err := r.Tell(t.Context(), told); err != nil {
		t.Error(err)
	}
	await(t, "the new holder is asked", func() bool { return primary(table) == "db2" })
	if d := time.Since(before); d > lease/2 {
		t.Errorf("it took %v", d)
	}
}

func TestAHolderElsewhereDoesNotSpeakForThePrimary(t *testing.T) {
	r := New(Config{Host: "ha1", Cluster: "shop", Table: proxy.NewTable(), Lease: lease, Holders: []Granter{{Member: "db1", Remote: true, Granter: &holder{route: serving(1, "db1")}}}})
	r.renew(t.Context())
	if _, heard, err := r.Tell(t.Context(), serving(1, "db1")); err != nil || heard >= 0 {
		t.Errorf("the primary counts as heard %v ago, %v", heard, err)
	}
}

func TestLivesDiffer(t *testing.T) {
	a, b := New(Config{Host: "ha1", Table: proxy.NewTable()}), New(Config{Host: "ha1", Table: proxy.NewTable()})
	if a.ID() == b.ID() || a.ID().Name != "ha1" {
		t.Errorf("%v and %v", a.ID(), b.ID())
	}
	if _, heard, err := a.Tell(t.Context(), serving(1, "db1")); err != nil || heard >= 0 {
		t.Errorf("heard %v ago of a primary that nobody heard, %v", heard, err)
	}
}
