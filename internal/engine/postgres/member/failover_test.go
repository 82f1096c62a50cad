package member_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestThePrimarysHostDies: nothing acknowledged is lost, another member leads, and the old primary comes back as a standby by itself.
func TestThePrimarysHostDies(t *testing.T) {
	t.Parallel()
	hostDies(t, pgtest.Default)
}

// TestThePrimarysHostDiesWithAnyVersion is the same with each version that is installed.
func TestThePrimarysHostDiesWithAnyVersion(t *testing.T) {
	if os.Getenv("BACKSTAY_SOAK") == "" {
		t.Skip("BACKSTAY_SOAK=1 tries all versions")
	}
	for _, v := range pgtest.Versions(t) {
		t.Run(strconv.Itoa(v), func(t *testing.T) { hostDies(t, v) })
	}
}

func hostDies(t *testing.T, version int) {
	w := newWorldOf(t, version, 1)
	first := w.serving(1)
	if first.name != "db1" {
		t.Fatalf("%s was adopted", first.name)
	}
	first.pg.Exec(t, "create table rows (n int)")
	w.streaming(first, 2)
	wr := w.write()
	wr.grow(t, 50)
	first.die()
	second := w.serving(2)
	wr.grow(t, 50)
	wr.check(t, second)
	w.log("longest gap %s", wr.gap)
	first.boot()
	first.becomes(func(f cluster.Fact) bool { return f.Role == cluster.Standby && !f.Blank && f.Following == second.name })
	w.streaming(second, 2)
	wr.grow(t, 20)
	wr.stop()
	w.move(first, 3)
	wr.check(t, first)
	w.streaming(first, 2)
}
