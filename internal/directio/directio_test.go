package directio

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"unsafe"
)

func noise(n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(b)
	return b
}

func TestBlockIsAligned(t *testing.T) {
	for _, n := range []int{1, 4096, 100_000} {
		b := Block(n)
		if len(b) != n || cap(b) != n || uintptr(unsafe.Pointer(&b[0]))%Align != 0 {
			t.Errorf("Block(%d): len %d cap %d at %p", n, len(b), cap(b), &b[0])
		}
	}
}

func TestWriterKeepsEveryByte(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, writerBlock - 1, writerBlock, 3*writerBlock + 777} {
		path := filepath.Join(t.TempDir(), "f")
		w, err := Create(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		want := noise(size)
		for rest, step := want, 1; len(rest) > 0; step = step*3 + 1 {
			n := min(step, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			if rest = rest[n:]; step%2 == 0 {
				if err := w.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := errors.Join(w.Sync(), w.Close(), w.Close()); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("size %d: read back %d bytes, %v", size, len(got), err)
		}
	}
}

func TestAlignedMemoryIsWrittenWithoutACopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	w, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	want := Block(2 * writerBlock)
	copy(want, noise(len(want)))
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	if w.block != nil {
		t.Error("the writer collected what it could have passed on")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); !bytes.Equal(got, want) {
		t.Error("the file differs from what was written")
	}
}

func TestWriteAtPlacesRegions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	w, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	want := Block(64<<10 + 100)
	copy(want, noise(len(want)))
	if err := w.Reserve(int64(len(want))); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{32 << 10, 0} {
		end := at + 32<<10
		if at > 0 {
			end = len(want)
		}
		if _, err := w.WriteAt(want[at:end], int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Truncate(int64(len(want))), w.Close()); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); !bytes.Equal(got, want) {
		t.Error("the file differs from what was written")
	}
}

func TestCreateNeverReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
}

func TestReadAtAgreesWithTheFile(t *testing.T) {
	want, path := written(t, 1<<20+5000)
	forget(t, path)
	f := opened(t, path)
	cold := !f.cached(0, int64(len(want))) // unless memory is its disk
	for _, c := range []struct {
		off int64
		n   int
	}{{0, 4096}, {4096, 1 << 20}, {1 << 20, 8192}, {3, 100}, {0, 2 << 20}, {1<<20 + 8192, 4096}, {1<<20 + 4096, 4096}} {
		p := Block(c.n)
		n, err := f.ReadAt(p, c.off)
		var rest []byte
		if c.off < int64(len(want)) {
			rest = want[c.off:]
		}
		if k := min(c.n, len(rest)); n != k || !bytes.Equal(p[:n], rest[:k]) || n < c.n && !errors.Is(err, io.EOF) {
			t.Errorf("ReadAt(%d bytes, %d) = %d, %v; want %d", c.n, c.off, n, err, k)
		}
	}
	if f.Direct() && cold && f.DirectReads() == 0 {
		t.Error("no read was direct although the file system takes them")
	}
}

// written is a file of noise.
func written(t *testing.T, size int) (want []byte, path string) {
	t.Helper()
	want, path = noise(size), filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	return want, path
}

func opened(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// forget lets the page cache go of a file.
func forget(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	dropCache(f, 0, 0)
}

// TestWhatIsCachedIsReadThereAndStays sees where reads go. A kernel that does not say what it has cached has all of them
// direct, and a file whose disk is memory stays there: what is read is right all the same.
func TestWhatIsCachedIsReadThereAndStays(t *testing.T) {
	want, path := written(t, 1<<20+5000)
	f := opened(t, path)
	cached := func() bool { return f.cached(0, int64(len(want))) }
	whole := func() {
		t.Helper()
		p := Block(2 << 20)
		if n, err := f.ReadAt(p, 0); n != len(want) || !errors.Is(err, io.EOF) || !bytes.Equal(p[:n], want) {
			t.Errorf("read %d bytes, %v", n, err)
		}
	}
	told := cached()
	whole()
	if n := f.DirectReads(); told && n != 0 {
		t.Errorf("%d reads were direct although the file is in memory", n)
	}
	if told && !cached() {
		t.Error("reading pushed the file out of memory")
	}
	forget(t, path)
	cold := !cached()
	if _, err := f.plain.ReadAt(make([]byte, 1), 1<<20); err != nil { // some of it is in memory again
		t.Fatal(err)
	}
	whole()
	if f.Direct() && cold && f.DirectReads() == 0 {
		t.Error("what is in memory in part only was not read directly")
	}
}

func TestSection(t *testing.T) {
	want, path := written(t, 3<<20+123)
	f := opened(t, path)
	for _, c := range [][2]int{{0, len(want)}, {5, 4096}, {4095, 2}, {1<<20 - 1, 1 << 20}, {len(want) - 1, 1}, {100, 0}} {
		got, err := io.ReadAll(f.Section(int64(c[0]), int64(c[1])))
		if err != nil || !bytes.Equal(got, want[c[0]:c[0]+c[1]]) {
			t.Errorf("Section(%d, %d): %d bytes, %v", c[0], c[1], len(got), err)
		}
	}
	if got, err := io.ReadAll(f.Section(int64(len(want))-10, 20)); err != nil || len(got) != 10 {
		t.Errorf("a section beyond the end: got %d bytes, %v", len(got), err)
	}
}

func TestInRootNeverLeaves(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := CreateIn(root, "../escaped", 0o600); err == nil {
		t.Error("CreateIn left its root")
	}
	w, err := CreateIn(root, "in", 0o400)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(noise(10_000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := OpenIn(root, "in")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 10_000)
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, noise(10_000)) {
		t.Errorf("read back: %v", err)
	}
}
