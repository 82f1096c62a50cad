//go:build unix

package postgres

import (
	"encoding/gob"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/history"
)

// The other process reads the log from a file that this one wrote.
const childVariable = "BACKSTAY_TEST_REPLAY"

type savedPart struct {
	Segment history.Segment
	Entries []engine.LogEntry
	Data    [][]byte
}

func (l *memLog) save(t *testing.T, path string) {
	t.Helper()
	var parts []savedPart
	for i, p := range l.parts {
		parts = append(parts, savedPart{l.segments[i], p.entries, p.data})
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := gob.NewEncoder(f).Encode(parts); err != nil {
		t.Fatal(err)
	}
}

func loadLog(t *testing.T, path string) *memLog {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var parts []savedPart
	if err := gob.NewDecoder(f).Decode(&parts); err != nil {
		t.Fatal(err)
	}
	l := &memLog{}
	for _, p := range parts {
		l.segments, l.parts = append(l.segments, p.Segment), append(l.parts, &memSegment{entries: p.Entries, data: p.Data})
	}
	return l
}

// TestReplayInAProcessOfItsOwn is that process.
func TestReplayInAProcessOfItsOwn(t *testing.T) {
	folder := os.Getenv(childVariable)
	if folder == "" {
		t.Skip("it is started by other tests")
	}
	l := loadLog(t, filepath.Join(folder, "log"))
	if _, err := os.Stat(filepath.Join(folder, "hang")); err == nil {
		l.open = func(i int) error {
			if i == len(l.parts)-1 {
				select {}
			}
			return nil
		}
	}
	if _, err := (restorer{}).Replay(t.Context(), filepath.Join(folder, "restored"), l, engine.Goal{}); err != nil {
		t.Fatal(err)
	}
}

// process prepares a restore of w's base in a process of its own, in a folder that it returns.
func (w *world) process(t *testing.T, l *memLog) (folder string, cmd *exec.Cmd) {
	t.Helper()
	folder = pgtest.Folder(t)
	l.save(t, filepath.Join(folder, "log"))
	if err := os.CopyFS(filepath.Join(folder, "restored"), os.DirFS(w.base)); err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "test"), binary, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(filepath.Join(folder, "test"), "-test.run=^TestReplayInAProcessOfItsOwn$", "-test.v")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), childVariable+"="+folder)
	return folder, cmd
}

func testKilled(t *testing.T, w *world) {
	folder, cmd := w.process(t, w.log(t, 600_000))
	if err := os.WriteFile(filepath.Join(folder, "hang"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(folder, "restored")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, _, err := datadir.ReadControl(os.DirFS(dir)); err == nil && c.State == datadir.InArchiveRecovery {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server did not begin to recover")
		}
	}
	time.Sleep(500 * time.Millisecond) // it replays what there is, and waits for more
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	requireNoServer(t, dir)
	requireNotPromoted(t, dir)
}

func testNotRoot(t *testing.T, w *world) {
	if os.Geteuid() != 0 {
		t.Skip("nobody else to be: all other tests run so")
	}
	folder, cmd := w.process(t, w.log(t, 600_000))
	owner := pgtest.Owner(t)
	if err := owner.Give(folder); err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(owner.UID), Gid: uint32(owner.GID)}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	requireRows(t, w.plain(t, filepath.Join(folder, "restored")), w.n)
}
