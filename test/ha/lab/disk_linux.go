package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Disk is a file system of its own, in a file, which can be frozen: whoever writes to it then waits, kill -9 or not.
type Disk struct {
	Path   string
	t      testing.TB
	frozen bool
}

// NewDisk makes a file system of some megabytes and mounts it. Where nobody may, it gives nil, and the test's log says so.
func NewDisk(t testing.TB, megabytes int) *Disk {
	t.Helper()
	dir, err := os.MkdirTemp("", "backstay-disk-")
	if err != nil {
		t.Fatal(err)
	}
	d := &Disk{Path: filepath.Join(dir, "disk"), t: t}
	image := filepath.Join(dir, "image")
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	// Few inodes, and all of them written now: the kernel would go on writing them for minutes, beside what is measured.
	mkfs := []string{"mkfs.ext4", "-q", "-m", "0", "-N", "16384", "-E", "lazy_itable_init=0", image}
	for _, c := range [][]string{
		{"truncate", "-s", fmt.Sprintf("%dM", megabytes), image}, mkfs, {"mkdir", d.Path}, {"chmod", "711", dir},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c[0], err, out)
		}
	}
	if out, err := exec.Command("mount", "-o", "loop", image, d.Path).CombinedOutput(); err != nil {
		t.Logf("this machine mounts no files, so that no disk can be frozen: %s", out)
		return nil
	}
	t.Cleanup(func() {
		d.Thaw()
		if out, err := exec.Command("umount", d.Path).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", d.Path, err, out)
		}
	})
	return d
}

// Freeze has whoever writes wait. What is written from this process would wait too.
func (d *Disk) Freeze() {
	d.t.Helper()
	d.run("-f")
	d.frozen = true
}

// Thaw ends Freeze.
func (d *Disk) Thaw() {
	d.t.Helper()
	if d.frozen {
		d.run("-u")
		d.frozen = false
	}
}

func (d *Disk) run(how string) {
	d.t.Helper()
	if out, err := exec.Command("fsfreeze", how, d.Path).CombinedOutput(); err != nil {
		d.t.Errorf("fsfreeze %s: %v: %s", how, err, out)
	}
}
