package crash

import (
	"bytes"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
)

// TestPromisesOnRealParts has one daemon keep promises for a PostgreSQL server and a SQLite database under load, in a folder and on an S3
// server, and breaks one part after the other: the stream stands still, the store stops, the daemon is killed meanwhile, the slot is dropped with its log, the
// disk of the spool fills, and a pack is damaged. A webhook and a mail server prove that each is told in time; each is mended or named; and
// in the end every moment that was called recoverable is.
func TestPromisesOnRealParts(t *testing.T) {
	f := newFirm(t)
	f.shop.write()
	f.busy()
	f.run()
	f.begun()
	f.kept()
	f.note()
	f.drilled("shop")
	f.drilled("app")

	f.storeStops()
	f.goesOn()
	f.slotIsLost()
	f.goesOn()
	f.spoolFills()
	f.goesOn()
	f.packIsDamaged()
	f.goesOn()

	if long() { // it is told when it has lasted for a minute
		f.sinks.noticed(time.Now().Add(-time.Hour), time.Hour, "began", "coverage", "app", "the longest gap")
	}
	f.still()
	f.shop.rest()
	f.ledger.Settle(t)
	f.kept()
	close(f.ended)
	f.watch.Wait()
	f.stop()
	f.proveShop(times(6, 50))
	f.proveBank(times(2, 20))
	for _, source := range []string{"app", "shop"} {
		f.shop.run("check", source, "--deep", "--key", f.path("backstay.key"))
	}
}

// goesOn lets the work go on for a moment, in a soak for two minutes, with everything as it should be.
func (f *firm) goesOn() {
	f.t.Helper()
	f.kept()
	time.Sleep(time.Duration(times(1, 110)) * time.Second)
	f.kept()
}

// storeStops stops the S3 server, and for a while the server's end of the stream of log, which fails nobody: nothing comes. Then it kills the
// daemon while the store is away: what was told is not told again, and not called over.
func (f *firm) storeStops() {
	f.t.Helper()
	goOn := f.stopStream()
	began := time.Now()
	f.s3.Stop()
	f.sinks.noticed(began, inTime, "began", "rpo", "app", "last heard of")
	goOn()
	for _, source := range []string{"app", "shop"} {
		f.sinks.noticed(began, inTime, "began", "copies", source, "offsite fails")
	}
	killed := time.Now()
	f.kill(f.agent)
	f.holed = true
	time.Sleep(3 * time.Second)
	if last := f.sinks.pinged(); last.After(killed.Add(time.Second)) || killed.Sub(last) > 3*time.Second {
		f.t.Errorf("the daemon was killed at %v, and the dead man's switch was called at %v", killed, last)
	}
	again := time.Now()
	f.run()
	f.until(20*time.Second, "the dead man's switch is called again", func() bool { return f.sinks.pinged().After(again) })
	time.Sleep(time.Duration(times(8, 30)) * time.Second)
	for _, c := range f.sinks.after(again) {
		if c.Objective == "copies" {
			f.t.Errorf("after a restart that changed nothing %s of %s %s", c.Objective, c.Source, c.Kind)
		}
	}
	f.s3.Again(f.t)
	for _, source := range []string{"app", "shop"} {
		f.sinks.noticed(again, time.Minute, "ended", "copies", source, "offsite")
	}
}

// slotIsLost drops the slot, and the log with it, while the daemon stands still: it can neither keep the slot nor get the log. It takes a
// new base, and says that moments are lost.
func (f *firm) slotIsLost() {
	f.t.Helper()
	if err := f.agent.Process.Signal(syscall.SIGSTOP); err != nil {
		f.t.Fatal(err)
	}
	f.loseSlot()
	began := time.Now()
	if err := f.agent.Process.Signal(syscall.SIGCONT); err != nil {
		f.t.Fatal(err)
	}
	f.sinks.noticed(began, inTime, "happened", "gap", "app", "cannot be continued")
}

// spoolFills takes all room from the spool: nothing can be captured until there is some again.
func (f *firm) spoolFills() {
	f.t.Helper()
	free := fill(f.t, f.path(".backstay"))
	began := time.Now()
	for _, source := range []string{"app", "shop"} {
		f.sinks.noticed(f.captured(source), inTime, "began", "rpo", source, "spool cannot be written")
	}
	free()
	for _, source := range []string{"app", "shop"} {
		f.sinks.noticed(began, time.Minute, "ended", "rpo", source, "")
	}
}

// captured waits until a source cannot be captured any more, and returns up to when it was: a spool on a full disk still takes what
// fits into its last block, which a database that writes little fills in seconds.
func (f *firm) captured(source string) (until time.Time) {
	f.t.Helper()
	f.until(inTime, source+" cannot be captured", func() bool {
		st, _ := f.look()
		i := slices.IndexFunc(st.Sources, func(s api.Source) bool { return s.Name == source && s.State == "failing" })
		if i < 0 {
			return false
		}
		until = st.Sources[i].Captured
		return true
	})
	return until
}

// packIsDamaged alters a pack: the next check finds it, mends it from the other repository, and says so.
func (f *firm) packIsDamaged() {
	f.t.Helper()
	pack := f.aPack()
	good, err := os.ReadFile(pack)
	if err != nil {
		f.t.Fatal(err)
	}
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 1
	if err := os.WriteFile(pack, bad, 0o600); err != nil {
		f.t.Fatal(err)
	}
	began, within := time.Now(), inTime
	if long() {
		within += 2 * time.Minute // as often as it is checked
	} else {
		f.due("shop", "check")
	}
	f.sinks.noticed(began, within, "happened", "repair", "shop", "local")
	if now, err := os.ReadFile(pack); err != nil || !bytes.Equal(now, good) {
		f.t.Errorf("the pack is not what it was: %v", err)
	}
}

// drilled has a drill run, and waits until a restore of the source is proved.
func (f *firm) drilled(source string) {
	f.t.Helper()
	f.due(source, "drill")
	f.until(time.Minute, source+" was drilled", func() bool {
		jobs, err := api.Dial(f.path(".backstay")).Plan(f.t.Context())
		if err != nil {
			return false
		}
		for _, j := range jobs {
			if j.Source == source && j.Kind == "drill" && j.LastOutcome != "" {
				if j.LastOutcome != "done" {
					f.t.Fatalf("the drill of %s %s: %s", source, j.LastOutcome, j.LastError)
				}
				return true
			}
		}
		return false
	})
}

// due makes a job due now.
func (f *firm) due(source, kind string) {
	f.t.Helper()
	if _, err := api.Dial(f.path(".backstay")).RunNow(f.t.Context(), source, api.Pause{Kind: kind, By: "the test"}); err != nil {
		f.t.Fatal(err)
	}
}
