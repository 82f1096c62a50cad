package member

import (
	"math"
	"testing"
	"time"
)

// TestADiskWithoutRoomShows, and one that has room again.
func TestADiskWithoutRoomShows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := &disk{since: map[string]time.Time{}}
	for _, c := range []struct {
		room int64
		full bool
	}{{0, false}, {math.MaxInt64, true}, {math.MaxInt64, true}, {0, false}} {
		d.room = c.room
		d.measure(dir)
		if d.full() != c.full {
			t.Errorf("where %d bytes are wanted, full is %v", c.room, d.full())
		}
	}
	d.room = math.MaxInt64
	if d.measure(dir + "/none"); d.full() {
		t.Error("a folder that can't be asked counts as full")
	}
}
