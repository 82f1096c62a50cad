//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package scratch

import (
	"os"
	"os/exec"
	"testing"
)

// TestALentFolderLivesAsLongAsItsLastHolder gives a folder to a child, and gives it up here.
func TestALentFolderLivesAsLongAsItsLastHolder(t *testing.T) {
	root := t.TempDir()
	d, holder, err := Lend(root)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("cat")
	child.ExtraFiles = []*os.File{holder}
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(root); len(removed) != 0 || err != nil {
		t.Errorf("swept what two hold: %v, %v", removed, err)
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(root); len(removed) != 0 || err != nil {
		t.Errorf("swept what a child holds: %v, %v", removed, err)
	}
	in.Close()
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(root); len(removed) != 1 || removed[0] != d.Path() || err != nil {
		t.Errorf("swept %v, %v; want %s, which nobody holds any more", removed, err, d.Path())
	}
	if left := names(t, root); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := d.Close(); err != nil {
		t.Errorf("close what was swept: %v", err)
	}
}
