package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestManyNudges watches more files than the system gives a user watchers, and tells each of its own file only.
func TestManyNudges(t *testing.T) {
	dir := t.TempDir()
	var all []*nudge
	for i := range 300 {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		n := newNudge(path)
		if !n.arm() {
			t.Fatalf("file %d is not watched", i)
		}
		all = append(all, n)
	}
	twin := newNudge(all[7].path)
	if !twin.arm() {
		t.Fatal("a file is not watched twice")
	}
	write := func(i int) {
		t.Helper()
		if err := os.WriteFile(all[i].path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	told := func(n *nudge) bool {
		select {
		case <-n.written():
			return true
		case <-time.After(2 * time.Second):
			return false
		}
	}
	write(7)
	if !told(all[7]) || !told(twin) {
		t.Error("a write is not told to all who watch the file")
	}
	for i, n := range all {
		if i != 7 && len(n.told) > 0 {
			t.Errorf("%d was told of a write to 7", i)
		}
	}
	all[7].disarm()
	time.Sleep(50 * time.Millisecond)
	for len(twin.told) > 0 {
		<-twin.told
	}
	write(7)
	if !told(twin) || len(all[7].told) > 0 {
		t.Error("after one ended, the other is not told, or both are")
	}
	for _, n := range append(all, twin) {
		n.close()
	}
	if nudges.members != 0 || nudges.w != nil {
		t.Errorf("%d members are left", nudges.members)
	}
}
