package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/route"
)

func apply(t *testing.T, table *Table, r route.Route) {
	t.Helper()
	if err := table.Apply(Now(), r); err != nil {
		t.Fatal(err)
	}
}

func TestATableFailsClosed(t *testing.T) {
	table := NewTable()
	if s := table.View().Open(); s != route.Closed {
		t.Errorf("without a route: %s", s)
	}
	apply(t, table, route.Route{Epoch: 2, Version: 1, State: route.Serving, Address: "h:1", For: 150 * time.Millisecond})
	if s := table.View().Open(); s != route.Serving {
		t.Errorf("with a route: %s", s)
	}
	told := make(chan *View, 1)
	defer table.Watch(func(v *View) { told <- v })()
	select {
	case v := <-told:
		if !v.Expired() || table.View().Open() != route.Closed {
			t.Errorf("told of %+v", v)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nobody was told that the route is over")
	}
	var stale *StaleRouteError
	if err := table.Apply(Now(), route.Route{Epoch: 1, Version: 9, State: route.Serving, Address: "h:1", For: time.Hour}); !errors.As(err, &stale) {
		t.Errorf("an older epoch: %v", err)
	}
	late := Now() - Moment(time.Hour)
	if err := table.Apply(late, route.Route{Epoch: 2, Version: 1, State: route.Serving, Address: "h:1", For: time.Minute}); err != nil || table.View().Open() != route.Closed {
		t.Errorf("an answer that came late opened the table: %v", err)
	}
}

// TestWhatIsKnownIsNotTold: keepers say again and again what a route is, while every session has something better to do.
func TestWhatIsKnownIsNotTold(t *testing.T) {
	table := NewTable()
	told := 0
	defer table.Watch(func(*View) { told++ })()
	r := route.Route{Epoch: 2, Version: 1, State: route.Closed}
	for _, step := range []struct {
		what   string
		change func()
		want   int
	}{
		{"a first route", func() {}, 1},
		{"the same", func() {}, 1},
		{"a newer version of it", func() { r.Version++ }, 2},
		{"a route that nobody may use yet", func() { r.Version, r.State, r.Address = 3, route.Serving, "h:1" }, 3},
		{"the same", func() {}, 3},
		{"time for it", func() { r.For = time.Hour }, 4},
		{"more time", func() {}, 4},
		{"word of it, which takes no time away", func() { r.For = 0 }, 4},
		{"where it will lead", func() { r.Target = "h:2" }, 5},
	} {
		step.change()
		if apply(t, table, r); told != step.want {
			t.Errorf("after %s changes were told %d times, want %d", step.what, told, step.want)
		}
	}
}

func TestAnAckWaitsForWhatStands(t *testing.T) {
	table := NewTable()
	serving := route.Route{Epoch: 1, Version: 1, State: route.Serving, Address: "h:1", For: time.Hour}
	apply(t, table, serving)
	a, err := table.Attach(table.View())
	if err != nil {
		t.Fatal(err)
	}
	table.Begin()
	holding := serving
	holding.State, holding.Version = route.Holding, 2
	apply(t, table, holding)
	if ack := table.Ack(route.ID{}); ack.Drained || ack.Open != 1 {
		t.Errorf("ack %+v while one is open", ack)
	}
	table.End()
	if ack := table.Ack(route.ID{}); !ack.Drained {
		t.Errorf("ack %+v while none is open", ack)
	}
	apply(t, table, route.Route{Epoch: 2, Version: 3, State: route.Closed})
	if table.Ack(route.ID{}).Closed {
		t.Error("closed while a connection stands")
	}
	if _, err := table.Attach(&View{Route: serving}); err == nil {
		t.Error("a connection was made to an epoch that is over")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := table.Closed(ctx); err == nil {
		t.Error("closed while a connection stands")
	}
	time.AfterFunc(20*time.Millisecond, a.Detach)
	if err := table.Closed(t.Context()); err != nil || !table.Ack(route.ID{}).Closed {
		t.Errorf("not closed when none stands: %v", err)
	}
}

func TestReadersGoRoundWhatQualifies(t *testing.T) {
	table := NewTable()
	l := NewListener(table, Config{Role: Read, MaxLag: time.Second})
	r := route.Route{Epoch: 1, Version: 1, State: route.Serving, Address: "p:1", For: time.Hour, Replicas: []route.Replica{
		{Address: "a:1"}, {Address: "b:1", Lag: 900 * time.Millisecond}, {Address: "late:1", Lag: 2 * time.Second}, {Address: "silent:1", Unknown: true}}}
	apply(t, table, r)
	seen := map[Upstream]int{}
	for range 40 {
		u, _ := l.Choose(table.View())
		seen[u]++
	}
	if len(seen) != 2 || seen[Upstream{Address: "a:1"}] == 0 || seen[Upstream{Address: "b:1"}] == 0 {
		t.Errorf("chosen %v", seen)
	}
	r.Version, r.Replicas = 2, r.Replicas[2:]
	apply(t, table, r)
	if u, ok := l.Choose(table.View()); !ok || u != (Upstream{Address: "p:1", Primary: true}) {
		t.Errorf("no replica qualifies: %v, %v", u, ok)
	}
	health := func() int {
		w := httptest.NewRecorder()
		l.Health().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		return w.Code
	}
	if got := health(); got != 200 {
		t.Errorf("health %d", got)
	}
	apply(t, table, route.Route{Epoch: 2, Version: 3, State: route.Closed})
	if got := health(); got != 503 {
		t.Errorf("health without a primary %d", got)
	}
}

// echo answers with what it gets.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func TestTCPFollowsTheRoute(t *testing.T) {
	table := NewTable()
	l := NewListener(table, Config{Header: true})
	from, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Serve(ctx, from, TCP{l}) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	c, err := net.Dial("tcp", from.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, signature+"\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x30\x39\x00\x50hello"); err != nil {
		t.Fatal(err)
	}
	for l.Held.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	apply(t, table, route.Route{Epoch: 1, Version: 1, State: route.Serving, Address: echo(t), For: time.Hour})
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
		t.Fatalf("%q, %v", b, err)
	}
	big := bytes.Repeat([]byte("0123456789"), 1<<18)
	go func() { _, _ = c.Write(big) }()
	got := make([]byte, len(big))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, big) {
		t.Fatalf("a large answer: %v", err)
	}
	apply(t, table, route.Route{Epoch: 2, Version: 2, State: route.Closed})
	if err := table.Closed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(b); err == nil {
		t.Errorf("%d bytes after the end", n)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte(signature + "\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x30\x39\x00\x50"))
	f.Add([]byte(signature + "\x20\x00\x00\x00"))
	f.Add([]byte("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadHeader(bytes.NewReader(b))
		if err == nil && h.Local && h.Source.IsValid() {
			t.Errorf("%+v", h)
		}
	})
}

func TestHeaderNamesTheClient(t *testing.T) {
	r := bytes.NewReader([]byte(signature + "\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x30\x39\x00\x50rest"))
	h, err := ReadHeader(r)
	if err != nil || h.Source != netip.MustParseAddrPort("10.0.0.1:12345") || r.Len() != 4 {
		t.Errorf("%+v, %v, %d bytes left", h, err, r.Len())
	}
}
