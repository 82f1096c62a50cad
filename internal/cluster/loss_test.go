package cluster

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// TestAnAppointmentSaysWhatMayBeLost: the reason is read when something is missed, so it claims no more than was found.
func TestAnAppointmentSaysWhatMayBeLost(t *testing.T) {
	lose := &Request{Kind: Failover, By: "anna", Lose: true}
	for _, c := range []struct {
		name   string
		change func(*Config, *State, *View)
		want   string
		opened string
	}{
		{"a witness promised", func(c *Config, s *State, _ *View) { c.Sync, c.MaxLoss, s.Quorums[0].K = 1, 0, 1 },
			"db2 has 3/700, which is all that was acknowledged; nobody else can write", "db2 is primary"},
		{"the old primary promised, and has as much", func(_ *Config, _ *State, v *View) {
			v.Facts[0].Answered, v.Facts[0].Role, v.Facts[0].Promised, v.Facts[0].Received = time.Second, Stopped, 8, history.At(3, 700)
		}, "db2 has 3/700, which is all that was acknowledged; nobody else can write", "db2 is primary"},
		{"within max_loss", func(*Config, *State, *View) {},
			"db2 has 3/700; up to 300 bytes behind it, to 3/1000, and what db1 wrote after that may be lost, which max_loss allows",
			"db2 is primary; up to 300 bytes behind it, to 3/1000, and what db1 wrote after that may be lost, which max_loss allows"},
		{"within max_loss, and a guard stands still with its host", func(c *Config, _ *State, _ *View) { c.Peers[0].Watchdog = false },
			"db2 has 3/700; up to 300 bytes behind it, to 3/1000, and what db1 wrote after that may be lost, which max_loss allows; " +
				"if db1's host stands still as a whole, its guard stops it when it goes on, and clients that bypass the proxies may be answered until then",
			"db2 is primary; up to 300 bytes behind it, to 3/1000, and what db1 wrote after that may be lost, which max_loss allows"},
		{"as far as was heard", func(_ *Config, s *State, _ *View) { s.Reached = history.At(3, 700) },
			"db2 has 3/700; what db1 wrote after that may be lost, which max_loss allows", "db2 is primary; what db1 wrote after that may be lost, which max_loss allows"},
		{"more, and a person accepted it", func(c *Config, s *State, _ *View) { c.MaxLoss, s.Request = 0, lose },
			"db2 has 3/700; up to 300 bytes behind it, to 3/1000, and what db1 wrote after that may be lost, which anna accepted",
			"db2 is primary; up to 300 bytes behind it, to 3/1000, and what db1 wrote after that may be lost, which anna accepted"},
		{"nobody could stop it", func(c *Config, s *State, _ *View) {
			c.Peers[0].Guard, c.Unfenced, s.Reached = false, true, history.At(3, 700)
		},
			"db2 has 3/700; what db1 wrote after that may be lost, which max_loss allows; db1 may still take writes of clients that bypass the proxies, which unfenced allows",
			"db2 is primary; what db1 wrote after that may be lost, which max_loss allows; db1 may still take writes of clients that bypass the proxies, which unfenced allows"},
	} {
		cfg, s, v := asynchronous(500)
		cfg.Peers[0].Watchdog = true
		c.change(&cfg, &s, &v)
		d := Decide(cfg, s, v, time.Second)
		if d.Row != "promote" || d.Reason != c.want || d.Next.Reason != c.want {
			t.Errorf("%s: %s: %s", c.name, d.Row, d.Reason)
			continue
		}
		v.Facts[1].Role, v.Facts[1].Epoch = Primary, 8
		if d = Decide(cfg, d.Next, v, time.Second); d.Row != "open" || d.Reason != c.opened {
			t.Errorf("%s: %s: %s", c.name, d.Row, d.Reason)
		}
	}
}

// TestWhatAPromotionRiskedEndsWithTheNextOne: which is told anew each time.
func TestWhatAPromotionRiskedEndsWithTheNextOne(t *testing.T) {
	cfg, s, v := asynchronous(0)
	cfg.Sync, s.Quorums[0].K, s.Risk = 1, 1, "some bytes may be lost"
	if d := Decide(cfg, s, v, time.Second); d.Row != "promote" || d.Next.Risk != "" {
		t.Errorf("%s: %q", d.Row, d.Next.Risk)
	}
}
