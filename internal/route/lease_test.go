package route

import (
	"testing"
	"time"
)

func TestLeaseCountsFromTheQuestion(t *testing.T) {
	l, ok := Lease{}.Apply(Route{Epoch: 1, Version: 5, State: Serving, For: time.Second}, 10*time.Second)
	if !ok || !l.Live(10*time.Second+999*time.Millisecond) || l.Live(11*time.Second) {
		t.Fatalf("lease = %+v, %v", l, ok)
	}
}

func TestLeaseRules(t *testing.T) {
	serving := Route{Epoch: 3, Version: 9, State: Serving, For: time.Second}
	have, _ := Lease{}.Apply(serving, 0)
	at := 500 * time.Millisecond
	for _, c := range []struct {
		name  string
		route Route
		taken bool
		live  bool
		until time.Duration
	}{
		{"an older epoch changes nothing", Route{Epoch: 2, Version: 99, State: Serving, For: time.Hour}, false, true, time.Second},
		{"an older version changes nothing", Route{Epoch: 3, Version: 8, State: Closed}, false, true, time.Second},
		{"a push never lengthens", Route{Epoch: 3, Version: 10, State: Holding}, true, true, time.Second},
		{"a renewal lengthens", Route{Epoch: 3, Version: 9, State: Serving, For: time.Second}, true, true, 1500 * time.Millisecond},
		{"closed ends at once", Route{Epoch: 3, Version: 10, State: Closed, For: time.Hour}, true, false, 0},
		{"a pushed new epoch serves nothing before its holder was asked", Route{Epoch: 4, Version: 10, State: Serving}, true, false, 0},
		{"a granted new epoch serves", Route{Epoch: 4, Version: 10, State: Serving, For: time.Second}, true, true, 1500 * time.Millisecond},
	} {
		l, taken := have.Apply(c.route, at)
		if taken != c.taken || l.Live(at) != c.live || l.Until() != c.until {
			t.Errorf("%s: taken %v live %v until %v", c.name, taken, l.Live(at), l.Until())
		}
	}
}

func TestAClosedEpochServesAgainOnlyWithANewerVersion(t *testing.T) {
	l, _ := Lease{}.Apply(Route{Epoch: 3, Version: 10, State: Closed}, 0)
	if _, ok := l.Apply(Route{Epoch: 3, Version: 9, State: Serving, For: time.Second}, 0); ok {
		t.Error("a late answer from before the close was taken")
	}
}
