package cluster

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// TestWhatWouldBeDoneIsForeseen up to the next primary: who it is, how much of the log it has, what is lost, and what is waited for.
func TestWhatWouldBeDoneIsForeseen(t *testing.T) {
	now := 2 * time.Second
	failover := func(_ *Config, s *State, _ *View) { s.Request = &Request{Kind: Failover, By: "anna"} }
	for _, c := range []struct {
		name    string
		change  func(*Config, *State, *View)
		row     string
		primary string
		has     uint64
		risk    string
		steps   []string // how they begin
		end     string
	}{
		{"switchover", func(_ *Config, s *State, v *View) { v.Facts[1].Received = history.At(3, 90) },
			"drain", "db2", 100, "", []string{"hand over: "}, "all that was acknowledged"},
		{"switchover that can't be", func(_ *Config, _ *State, v *View) { v.Facts[1].Following = "" },
			"refuse switchover", "", 0, "", nil, "db2 does not follow db1"},
		{"sessions that no proxy can hold", func(_ *Config, _ *State, v *View) { v.Proxies = nil },
			"drain", "", 0, "", []string{"wait for drain, for 5"}, "not drained within 5s"},
		{"failover", failover, "take over on request", "db2", 100, "", nil, "all that was acknowledged"},
		{"who has less is filled", func(c *Config, s *State, v *View) {
			failover(c, s, v)
			v.Facts[1].Full, v.Facts[2].Received = true, history.At(3, 80)
		}, "take over on request", "db3", 100, "", []string{"fill db3 from db1 up to 3/100"}, "all that was acknowledged"},
		{"a proxy is silent", func(c *Config, s *State, v *View) { failover(c, s, v); v.Proxies, v.BeatSeen = nil, now },
			"take over on request", "db2", 100, "", []string{"wait for routes, for 1.5"}, "all that was acknowledged"},
		{"nobody answers", func(c *Config, s *State, v *View) {
			failover(c, s, v)
			v.Facts[1].Answered, v.Facts[2].Answered = Never, Never
		}, "refuse failover", "", 0, "", nil, "no other member is fit"},
		{"asynchronous, and the primary is gone", func(c *Config, s *State, v *View) {
			failover(c, s, v)
			c.Sync, c.MaxLoss, s.Quorums[0].K, s.Reached, v.Facts[0].Answered = 0, 50, 0, history.At(3, 130), Never
			c.Peers[0].Guard, v.Stored, v.BeatSeen = true, history.At(3, 120), now-time.Second
		}, "take over", "db2", 120, "up to 10 bytes", []string{"wait for cut, for ", "fill db2 from (repository) up to 3/120"}, "which max_loss allows"},
		{"and nobody can stop it, which a person accepts", func(c *Config, s *State, v *View) {
			failover(c, s, v)
			c.Sync, c.MaxLoss, s.Quorums[0].K, s.Request.Lose, v.Facts[0].Answered = 0, 50, 0, true, Never
		}, "take over", "db2", 100, "what db1 wrote after that may be lost, which anna accepted; db1 may still take writes", nil, "which anna accepted"},
	} {
		cfg, s, v := planned(Serving)
		v.Asked, v.Facts[1].Role = now-cfg.Ahead, Standby
		v.Since, v.BeatSeen, v.Proxies[0].Heard = -time.Minute, -time.Minute, -time.Minute
		cfg.Peers[1].Priority = 1
		c.change(&cfg, &s, &v)
		before := slices.Clone(v.Facts)
		f := Foresee(cfg, s, v, now)
		ok := f.Row == c.row && f.Primary == c.primary && f.Has.Seq == c.has && strings.HasPrefix(f.Risk, c.risk) && (c.risk == "") == (f.Risk == "") && strings.Contains(f.End, c.end)
		for i, begins := range c.steps {
			ok = ok && len(f.Steps) == len(c.steps) && strings.HasPrefix(f.Steps[i], begins)
		}
		if !ok {
			t.Errorf("%s: %+v", c.name, f)
		}
		if !slices.EqualFunc(before, v.Facts, func(a, b Fact) bool { return a.Received == b.Received && a.Promised == b.Promised && a.Role == b.Role }) {
			t.Errorf("%s: it changed the view", c.name)
		}
	}
}
