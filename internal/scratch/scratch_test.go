package scratch

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestMain lets the test binary be the process that dies: it makes a folder, says where, and waits to be killed.
func TestMain(m *testing.M) {
	if root := os.Getenv("SCRATCH_TEST_ROOT"); root != "" {
		d, err := New(root)
		if err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString(d.Path() + "\n")
		select {}
	}
	os.Exit(m.Run())
}

func TestCloseRemovesWhatWasMadeAndNothingElse(t *testing.T) {
	root := t.TempDir()
	mine := filepath.Join(root, prefix+"looks-like-it")
	foreign := filepath.Join(root, prefix+"foreign"+ownerSuffix)
	for _, err := range []error{os.Mkdir(mine, 0o700), os.WriteFile(foreign, []byte("something else"), 0o600), os.Mkdir(filepath.Join(root, prefix+"foreign"), 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d, err := New(root)
	if err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(d.Path(), "a", "b")
	if err := os.MkdirAll(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(closed, "f"), []byte("x"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal("second close:", err)
	}
	if got := names(t, root); !slices.Equal(got, []string{prefix + "foreign", prefix + "foreign" + ownerSuffix, prefix + "looks-like-it"}) {
		t.Errorf("left: %v", got)
	}
}

func TestSweepTakesOnlyWhatTheDeadLeft(t *testing.T) {
	root := t.TempDir()
	living, err := New(root)
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	dead := startAndKill(t, root)
	if _, err := os.Stat(dead); err != nil {
		t.Fatal("the dead process left nothing:", err)
	}
	next, err := New(root)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	want := []string{filepath.Base(living.Path()), filepath.Base(living.owner), filepath.Base(next.Path()), filepath.Base(next.owner)}
	slices.Sort(want)
	if got := names(t, root); !slices.Equal(got, want) {
		t.Errorf("after the sweep: %v, want %v", got, want)
	}
}

func startAndKill(t *testing.T, root string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "SCRATCH_TEST_ROOT="+root)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	path := line[:len(line)-1]
	if removed, err := Sweep(root); len(removed) != 0 || err != nil {
		t.Fatalf("swept the living: %v, %v", removed, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return path
}

func TestRootThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := New(filepath.Join(file, "sub")); err == nil {
		t.Errorf("made %s below a file", d.Path())
	}
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
