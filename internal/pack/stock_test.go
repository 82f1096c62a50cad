package pack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// needTools skips a test where Debian's tools are not installed, or fails it where they must be.
func needTools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" || os.Getenv("BACKSTAY_NEED_SERVERS") == "1" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
}

// shell runs a script in dir.
func shell(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return string(out)
}

func TestStockToolsOpenABase(t *testing.T) {
	needTools(t, "bash", "age", "zstd", "tar")
	s, id, files := newShelf(), testKey(t), tree(7)
	c := seal(t, s, id, files, randomAccess)
	dir := t.TempDir()
	for name, b := range s.objects {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range map[string][]byte{"id": []byte(id.String() + "\n"), "sealed": c.Sealed} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shell(t, dir, `mkdir out; for p in pack-*; do age -d -i id "$p"; done | zstd -d | tar x -C out -p`)
	for i := range files {
		files[i].ModTime = files[i].ModTime.Truncate(time.Second) // as tar has it; the exact time is in the list
	}
	compareTree(t, filepath.Join(dir, "out"), files)
	list := shell(t, dir, `age -d -i id sealed | zstd -d`)
	if n := strings.Count(list, "\n"); n != len(files)+1 {
		t.Errorf("the list has %d lines, want %d", n, len(files)+1)
	}
	if runs := shell(t, dir, `for m in map-*; do age -d -i id "$m"; done | zstd -d`); !strings.Contains(runs, `"pack":2`) {
		t.Errorf("the maps cannot be read: %.200s", runs)
	}
}

func TestStockToolsOpenASegment(t *testing.T) {
	needTools(t, "bash", "age", "zstd", "tar")
	id := testKey(t)
	files := segmentCases()["condensed"]
	_, b := sealSegment(t, id, specOf(files, marksOf(10)))
	dir := t.TempDir()
	for name, data := range map[string][]byte{"id": []byte(id.String() + "\n"), "segment": b} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := shell(t, dir, `age -d -i id segment | zstd -d | tar xv`)
	want := "condensed/all.ltx\n"
	for _, f := range files[1:] {
		want += fmt.Sprintf("log/%s\n", f.File)
	}
	if want += "marks\nindex\n"; names != want {
		t.Errorf("tar lists\n%swant\n%s", names, want)
	}
	for _, f := range files {
		e := SegmentEntry{File: f.File, Condensed: f.Condensed}
		if got, err := os.ReadFile(filepath.Join(dir, e.tarName())); err != nil || string(got) != string(f.data) {
			t.Errorf("%s: %d bytes of %d, %v", f.File, len(got), len(f.data), err)
		}
	}
}
