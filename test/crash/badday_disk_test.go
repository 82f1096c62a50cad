package crash

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestRepositoryDiskFull: the spool holds what the repository cannot take, and it gets it when there is room again.
func TestRepositoryDiskFull(t *testing.T) {
	s := newShop(t, "wal", 100)
	repo := s.disk("repo", "16m")
	s.begin()
	free := fill(t, repo)
	s.failing("local", "no space left|free some space")
	time.Sleep(time.Second)
	free()
	s.whole()
}

// TestSpoolDiskFull: capture stops and says so; when there is room again it goes on, with a gap where the source kept
// less than was missed, and nothing that is restored is half.
func TestSpoolDiskFull(t *testing.T) {
	s := newShop(t, "wal", 100)
	state := s.disk(".backstay", "16m")
	s.begin()
	free := fill(t, state)
	s.until(30*time.Second, "capture fails for want of room", func() bool {
		st, _ := s.status()
		return st.State == "failing"
	})
	before := s.durable()
	s.holds(before)
	free()
	s.whole()
}

// TestRestoreDiskFull: too little room is noticed before anything is written, and nothing is left behind.
func TestRestoreDiskFull(t *testing.T) {
	s := newShop(t, "wal", 100)
	small := s.disk("small", "40k")
	s.begin()
	s.until(30*time.Second, "there is more than fits", func() bool { return len(s.ledger()) > 300 })
	s.whole()
	s.refused(exitEnvironment, "the disk|make room", "restore", "app", "--into", "small/new")
	if left, err := os.ReadDir(small); err != nil || len(left) > 0 {
		t.Errorf("the refused restore left %v, %v", left, err)
	}
	s.refused(exitEnvironment, "make room", "drill", "app", "--scratch", "small")
}

// TestRepositoryUnmounted: an empty mount point in the repository's place is not taken for the repository.
func TestRepositoryUnmounted(t *testing.T) {
	s := newShop(t, "wal", 100)
	s.begin()
	repo, away := s.path("repo"), s.path("away")
	for _, empty := range []bool{false, true} {
		if err := os.Rename(repo, away); err != nil {
			t.Fatal(err)
		}
		if empty {
			if err := os.Mkdir(repo, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		s.failing("local", "mount")
		if left, _ := filepath.Glob(filepath.Join(repo, "*")); len(left) > 0 {
			t.Errorf("the agent wrote to the empty folder: %v", left)
		}
		_ = os.Remove(repo)
		if err := os.Rename(away, repo); err != nil {
			t.Fatal(err)
		}
		s.protected()
	}
	s.stop()
	if err := os.Rename(repo, away); err != nil {
		t.Fatal(err)
	}
	s.refused(exitNotFound, "it was there before and is gone", "run")
	s.refused(exitNotFound, "mounted", "check", "app")
	s.refused(exitNotFound, "mounted", "restore", "app", "--into", "new")
	if err := os.Rename(away, repo); err != nil {
		t.Fatal(err)
	}
	s.protect()
	s.whole()
}
