//go:build unix

package app

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// starve has db1 send a standby nothing any more.
func (w *trio) starve(t *testing.T, standby string) {
	t.Helper()
	pid, err := strconv.Atoi(w.servers[0].Ask(t, "select pid::text from pg_stat_replication where application_name = '"+standby+"'"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // it ends with its server
		t.Fatal(err)
	}
}

// TestACandidateIsFilledFromTheRepository has a primary be lost with its disk that waited for nobody. Its standby had got nothing for a while, and the
// repository had: the standby is given that before it is promoted.
func TestACandidateIsFilledFromTheRepository(t *testing.T) {
	w := newServersWith(t, 2, fmt.Sprintf("{ mode: automatic, after: %ds, lease: %dms, max_loss: 4KiB, sync: 0, unfenced: true }", slow, 1500*slow), shopSource)
	until(t, "the cluster serves", func() bool {
		c := w.cluster(t)
		return c.State == "serving" && c.Members[1].Following == "db1"
	}, func() string { return fmt.Sprintf("%+v", w.cluster(t)) })
	until(t, "the source is followed", func() bool { return w.source(t).State == stateFollowing })
	d := w.writeOn(t, 3*time.Millisecond)
	d.more(t, 50)
	w.starve(t, "db2")
	d.more(t, 100)
	d.end()
	end := time.Now()
	until(t, "the keeper knows that the repository has all", func() bool {
		r := w.source(t).Repositories[0]
		return r.LagBytes == 0 && r.DurableTime.After(end) && w.cluster(t).Stored == r.Position.Mark
	}, func() string { return fmt.Sprintf("%+v %+v", w.source(t), w.cluster(t)) })
	w.servers[0].Crash(t)
	wipe(t, w.servers[0].Dir)
	w.serving(t, "db1")
	d.judge(t, end, w.notes(t, 1))
	end = time.Now()
	until(t, "the repository has what came after", func() bool { return w.source(t).Repositories[0].DurableTime.After(end) })
	w.ungapped(t, 1)
}
