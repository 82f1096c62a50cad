package agent

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

// TestWhoLostTheOathLetsGoBeforeItPromises: a ballot counts the promise against the old primary, to which the standby may still acknowledge.
func TestWhoLostTheOathLetsGoBeforeItPromises(t *testing.T) {
	for name, c := range map[string]struct {
		state cluster.State
		sight Sight
		done  string
	}{
		"with the primary of a lower epoch": {cluster.State{Epoch: 9, Phase: cluster.Fencing, Primary: "db2"}, Sight{Role: cluster.Standby, Following: "db2", Streaming: true}, "detach"},
		"while another is promoted":         {cluster.State{Epoch: 9, Phase: cluster.Promoting, Primary: "db3"}, Sight{Role: cluster.Standby, Following: "db2"}, "detach"},
		"with a former primary":             {cluster.State{Epoch: 9, Phase: cluster.Serving, Primary: "db3"}, Sight{Role: cluster.Standby, Following: "db2"}, "detach"},
		"with nobody, as far as is seen":    {cluster.State{Epoch: 9, Phase: cluster.Fencing, Primary: "db2"}, Sight{Role: cluster.Standby}, "detach"},
		"with the holder":                   {cluster.State{Epoch: 9, Phase: cluster.Serving, Primary: "db2"}, Sight{Role: cluster.Standby, Following: "db2", Streaming: true}, "follow db2"},
		"that starts, perhaps":              {cluster.State{Epoch: 9, Phase: cluster.Fencing, Primary: "db2"}, Sight{Role: cluster.Stopped}, "stop retire"},
		"of a cluster that never formed":    {cluster.State{}, Sight{Role: cluster.Standby, Following: "db2"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put(func(s *cluster.State) { *s = c.state })
				w.server.change(func(s *Sight) {
					s.Role, s.Following, s.Streaming = c.sight.Role, c.sight.Following, c.sight.Streaming
				})
				early := false
				w.server.look = func() {
					w.server.mu.Lock()
					defer w.server.mu.Unlock()
					if k, lost, _ := load(w.dir + "/oath.json"); !lost && k.Promised == 9 && !strings.HasPrefix(strings.Join(w.server.done, " "), c.done) {
						early = true
					}
				}
				w.boot()
				time.Sleep(time.Second)
				f := w.probe()
				w.end()
				if did := strings.Join(w.server.done, " "); c.done != "" && !strings.HasPrefix(did+" ", c.done+" ") || c.done == "" && w.server.count("detach")+w.server.count("stop") > 0 {
					t.Errorf("it did %q, want %q first", w.server.done, c.done)
				}
				if early || f.Promised != c.state.Epoch {
					t.Errorf("promised %d, before it had let go: %v", f.Promised, early)
				}
			})
		})
	}
}
