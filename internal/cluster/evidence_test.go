package cluster

import (
	"testing"
	"time"
)

// TestAGuardHasItsTime: it stops the server within a grace after the tenure, whoever renewed that last.
func TestAGuardHasItsTime(t *testing.T) {
	cfg, s, v := asynchronous(1000)
	over := cfg.tenure()
	for _, c := range []struct {
		name          string
		beat, vouched time.Duration
		after         time.Duration
		want          string
	}{
		{"within the tenure of a beat", 0, Never, over - time.Millisecond, "wait for cut"},
		{"within the grace after it", 0, Never, over + cfg.StopGrace - time.Millisecond, "wait for cut"},
		{"after it", 0, Never, over + cfg.StopGrace, "promote"},
		{"within the tenure of another member's word", -time.Minute, 0, over - time.Millisecond, "wait for cut"},
		{"within the grace after that", -time.Minute, 0, over + cfg.StopGrace - time.Millisecond, "wait for cut"},
		{"after that", -time.Minute, 0, over + cfg.StopGrace, "promote"},
	} {
		v.BeatSeen, v.Facts[1].Vouched, v.Facts[1].Answered = c.beat, c.vouched, c.after
		if d := Decide(cfg, s, v, c.after); d.Row != c.want {
			t.Errorf("%s: %s: %s", c.name, d.Row, d.Reason)
		}
	}
}
