package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/test/bench/sqlite/shop"
)

func TestLagIsFromTheCommitToItsFirstSight(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	sales := []shop.Sale{{Beat: 1, Done: at(10)}, {Beat: 2, Done: at(20)}, {Beat: 3, Done: at(30)}}
	got, err := lagOf(sales, []sighting{{0, at(0)}, {2, at(100)}, {3, at(250)}})
	if err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{90 * time.Millisecond, 80 * time.Millisecond, 220 * time.Millisecond}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := lagOf(sales, []sighting{{2, at(100)}}); err == nil {
		t.Error("a commit that was never seen has a lag")
	}
}

func TestReachOf(t *testing.T) {
	const (
		head = "backstay/v0 shop\n3\nroot\nnumber 2\ntime 2026-11-21T10:45:02.000000Z\nwhole 1/99 2026-11-21T10:45:02.1Z\n"
		sig  = "\n- key sig\n\n"
		base = `{"n":1,"kind":"base","name":"base/x/manifest","body":{"start":"1/5","stop":"1/5"}}` + "\n"
		seg  = `{"n":2,"kind":"segment","name":"log/x","body":{"from":"1/5","to":"1/42"}}` + "\n"
		tip  = `tip {"name":"tip/x","body":{"from":"1/42","to":"1/50"}}` + "\n"
		drop = `{"n":3,"kind":"drop","body":{"names":["log/y"]}}` + "\n"
	)
	for text, want := range map[string]history.Position{
		head + sig:                           {}, // a heartbeat alone makes nothing durable
		head + sig + base:                    history.At(1, 5),
		head + sig + base + seg + drop:       history.At(1, 42),
		head + tip + sig + base + seg + drop: history.At(1, 50),
	} {
		if got, err := reachOf([]byte(text)); err != nil || got != want {
			t.Errorf("got %v, %v, want %v, of\n%s", got, err, want, text)
		}
	}
	if _, err := reachOf([]byte("tip {")); err == nil {
		t.Error("a line that cannot be read is no error")
	}
}
