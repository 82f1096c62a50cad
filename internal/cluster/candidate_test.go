package cluster

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// TestAFullDiskComesLast: whoever has no room would not be primary for long, but where only one has what was acknowledged it is that one.
func TestAFullDiskComesLast(t *testing.T) {
	for _, c := range []struct {
		name       string
		sync       int
		db2, db3   uint64 // ends of their logs
		full, want string
	}{
		{"both have all", 1, 100, 100, "db2", "db3"},
		{"nobody's disk is full", 1, 100, 100, "", "db2"},
		{"the other one is filled", 1, 100, 90, "db2", "db3"},
		{"nobody tells what was acknowledged", 0, 100, 90, "db2", "db2"},
		{"nobody tells, and both have as much", 0, 100, 100, "db2", "db3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &look{now: time.Minute, state: State{Epoch: 2, Phase: Fencing, Primary: "db1", Timeline: 1}}
			l.cfg = Config{Cluster: "shop", Sync: c.sync, Peers: []Peer{{Name: "db1"}, {Name: "db2", Priority: 1}, {Name: "db3"}}}.WithDefaults()
			for name, end := range map[string]uint64{"db2": c.db2, "db3": c.db3} {
				f := noFact
				f.Name, f.Answered, f.Role, f.Promised, f.Received, f.Full = name, l.now, Standby, 2, history.At(1, end), name == c.full
				l.view.Facts = append(l.view.Facts, f)
			}
			if got := l.candidate(); got == nil || got.Name != c.want {
				t.Errorf("%+v is taken, want %s", got, c.want)
			}
		})
	}
}
