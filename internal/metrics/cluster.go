package metrics

import "github.com/backstaydb/backstay/internal/api"

// clusterStates are what clients may be led to.
var clusterStates = []string{"serving", "holding", "closed"}

func (w writer) cluster(c api.Cluster) {
	w.state(clusterState, clusterStates, c.State, c.Name)
	w.put(clusterEpoch, float64(c.Epoch), c.Name)
	w.put(clusterPaused, bit(c.Paused), c.Name)
	for _, m := range c.Members {
		w.put(memberUp, bit(m.Role != "unknown"), c.Name, m.Name)
		w.put(memberPrimary, bit(m.Name == c.Primary), c.Name, m.Name)
		if m.Role == "replica" && m.LagSeconds >= 0 {
			w.put(memberLag, m.LagSeconds, c.Name, m.Name)
		}
		if m.Role == "replica" && (m.LagSeconds >= 0 || m.LagBytes > 0) {
			w.put(memberLagBytes, float64(m.LagBytes), c.Name, m.Name)
		}
	}
	for _, l := range c.Listeners {
		w.listener(c.Name, l)
	}
}

func (w writer) listener(cluster string, l api.ClusterListener) {
	w.put(listenerOpen, float64(l.Open), cluster, l.Role)
	w.put(listenerHeld, float64(l.Held), cluster, l.Role)
	w.count(listenerCame, int(l.Accepted), cluster, l.Role)
	w.count(listenerMoved, int(l.Moved), cluster, l.Role)
	for _, e := range []struct {
		reason string
		n      int64
	}{{"refused", l.Refused}, {"expired", l.Expired}, {"failed", l.Failed}, {"unmoved", l.Unmoved}, {"severed", l.Severed}, {"unknown", l.Unknown}} {
		w.count(listenerEnds, int(e.n), cluster, l.Role, e.reason)
	}
	w.count(listenerBytes, int(l.Up), cluster, l.Role, "up")
	w.count(listenerBytes, int(l.Down), cluster, l.Role, "down")
}
