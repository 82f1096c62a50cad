package pack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"filippo.io/age"
	"go.uber.org/goleak"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is an Output and an Open in memory.
type shelf struct {
	objects map[string][]byte
}

func newShelf() *shelf { return &shelf{objects: map[string][]byte{}} }

type shelfFile struct {
	bytes.Buffer
	s    *shelf
	name string
}

func (s *shelf) Next(_ context.Context, name string) (store.File, error) {
	return &shelfFile{s: s, name: name}, nil
}

func (f *shelfFile) Commit(context.Context) error {
	f.s.objects[f.name] = f.Bytes()
	return nil
}

func (f *shelfFile) Abort() error { return nil }

func (s *shelf) open(_ context.Context, name string, off, n int64) (io.ReadCloser, error) {
	b, ok := s.objects[name]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	if n < 0 {
		n = int64(len(b))
	}
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(b), off, n)), nil
}

// datum is one file that a test stores.
type datum struct {
	engine.File
	data []byte
}

// pages gives n bytes that look like a database's: pages with headers, rows and free space.
func pages(seed int64, n int) []byte {
	r := rand.New(rand.NewSource(seed))
	b := make([]byte, n)
	for at := 0; at < n; at += 4096 {
		page := b[at:min(at+4096, n)]
		for i := 0; i+64 < len(page)*3/4; i += 64 {
			copy(page[i:], fmt.Sprintf("row %08d customer %04d item %03d", r.Intn(1e8), r.Intn(1e4), r.Intn(1000)))
			r.Read(page[i+48 : i+60])
		}
	}
	return b
}

func tree(seed int64) []datum {
	when := time.Date(2026, 11, 21, 5, 30, 0, 123456789, time.UTC)
	file := func(name string, mode fs.FileMode, data []byte) datum {
		return datum{engine.File{Name: name, Mode: mode, Size: int64(len(data)), ModTime: when}, data}
	}
	all := []datum{
		{engine.File{Name: "data", Mode: fs.ModeDir | 0o750, ModTime: when}, nil},
		file("data/empty", 0o600, nil),
		file("data/one", 0o640, []byte("x")),
		file("data/large.db", 0o600, pages(seed, 5<<20+777)),
		file("data/exact.db", 0o600, pages(seed+1, 2<<20)),
		file("data/frame.db", 0o600, pages(seed+2, frameBytes)),
		file("data/middle.db", 0o400, pages(seed+3, smallFile+1)),
		file("data/edge.db", 0o600, pages(seed+4, smallFile)),
		{engine.File{Name: "data/link", Mode: fs.ModeSymlink | 0o777, ModTime: when, Link: "large.db"}, nil},
	}
	for i := range 300 {
		all = append(all, file(fmt.Sprintf("small/%d/%s-%03d", i%7, string(bytes.Repeat([]byte("n"), i%130)), i), 0o644, pages(seed+int64(i), i*37)))
	}
	return append(all, file("last.db", 0o600, pages(seed+9, 3<<20+4096)))
}

func testKey(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// seal stores files and returns what a repository would keep.
func seal(t testing.TB, s *shelf, id *age.X25519Identity, files []datum, reader func(datum) io.Reader) Contents {
	t.Helper()
	w := NewBaseWriter(t.Context(), s, BaseOptions{Recipients: []age.Recipient{id.Recipient()}, DigestKey: [32]byte{1, 2, 3}, PackBytes: 2 << 20})
	for _, f := range files {
		if err := w.Put(t.Context(), f.File, reader(f)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := w.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func streamed(d datum) io.Reader     { return io.MultiReader(bytes.NewReader(d.data)) }
func randomAccess(d datum) io.Reader { return bytes.NewReader(d.data) }

func compareTree(t *testing.T, dir string, files []datum) {
	t.Helper()
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		info, err := os.Lstat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if f.Mode&fs.ModeSymlink != 0 {
			if link, _ := os.Readlink(path); link != f.Link {
				t.Errorf("%s leads to %q, want %q", f.Name, link, f.Link)
			}
			continue
		}
		if info.Mode() != f.Mode || !info.ModTime().Equal(f.ModTime) {
			t.Errorf("%s: mode %s time %s, want %s %s", f.Name, info.Mode(), info.ModTime(), f.Mode, f.ModTime)
		}
		if !f.Mode.IsRegular() {
			continue
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, f.data) {
			t.Errorf("%s: %d bytes differ from the %d stored: %v", f.Name, len(got), len(f.data), err)
		}
	}
}

func TestBaseComesBack(t *testing.T) {
	for name, reader := range map[string]func(datum) io.Reader{"streamed": streamed, "random access": randomAccess} {
		t.Run(name, func(t *testing.T) {
			s, id, files := newShelf(), testKey(t), tree(1)
			c := seal(t, s, id, files, reader)
			if len(c.Packs) < 2 {
				t.Errorf("%d packs; the test wants the tar to run on", len(c.Packs))
			}
			for _, p := range append(c.Packs, c.Maps...) {
				sum := sha256.Sum256(s.objects[p.Name])
				if p.SHA256 != hex.EncodeToString(sum[:]) || p.Size != int64(len(s.objects[p.Name])) {
					t.Errorf("%s: size %d, digest %s do not fit the object", p.Name, p.Size, p.SHA256)
				}
			}
			r, err := OpenBase(t.Context(), c, s.open, []age.Identity{id})
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			var last int64
			stats, err := r.Extract(t.Context(), dir, ExtractOptions{Progress: func(done, total int64) {
				if total != c.Bytes {
					t.Errorf("total %d, want %d", total, c.Bytes)
				}
				last = done
			}})
			if err != nil {
				t.Fatal(err)
			}
			if stats.Bytes != c.Bytes || last != c.Bytes || stats.Files != len(files) {
				t.Errorf("stats %+v, progress %d, want %d bytes", stats, last, c.Bytes)
			}
			compareTree(t, dir, files)
			report, err := r.Verify(t.Context(), nil)
			if err != nil || len(report.Damage) > 0 || report.Bytes != c.Bytes {
				t.Errorf("Verify: %+v, %v", report, err)
			}
		})
	}
}

func TestExtractTakesOnlyWhatIsAsked(t *testing.T) {
	s, id, files := newShelf(), testKey(t), tree(2)
	r, err := OpenBase(t.Context(), seal(t, s, id, files, randomAccess), s.open, []age.Identity{id})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := r.Extract(t.Context(), dir, ExtractOptions{Only: func(f engine.File) bool { return f.Name == "data/exact.db" }}); err != nil {
		t.Fatal(err)
	}
	var found []string
	_ = fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			found = append(found, p)
		}
		return nil
	})
	if len(found) != 1 || found[0] != "data/exact.db" {
		t.Errorf("extracted %v", found)
	}
}

func TestExtractNeverReplacesNorEscapes(t *testing.T) {
	s, id := newShelf(), testKey(t)
	now := time.Now()
	c := seal(t, s, id, []datum{
		{engine.File{Name: "out", Mode: fs.ModeSymlink | 0o777, Link: "..", ModTime: now}, nil},
		{engine.File{Name: "out/escaped", Mode: 0o600, Size: 3, ModTime: now}, []byte("bad")},
	}, randomAccess)
	r, err := OpenBase(t.Context(), c, s.open, []age.Identity{id})
	if err != nil {
		t.Fatal(err)
	}
	outer := t.TempDir()
	dir := filepath.Join(outer, "in")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Extract(t.Context(), dir, ExtractOptions{}); err == nil {
		t.Error("a file and a link of one name were both laid")
	}
	if _, err := os.Stat(filepath.Join(outer, "escaped")); err == nil {
		t.Error("Extract wrote outside of its folder")
	}
	if err := os.Symlink(outer, filepath.Join(dir, "planted")); err != nil {
		t.Fatal(err)
	}
	w := NewBaseWriter(t.Context(), s, BaseOptions{Recipients: []age.Recipient{id.Recipient()}})
	if err := w.Put(t.Context(), engine.File{Name: "../x"}, nil); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Put of ../x: %v, want fs.ErrInvalid", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
}

func TestShrunkFilesArePaddedGrownOnesCut(t *testing.T) {
	s, id := newShelf(), testKey(t)
	whole := pages(5, 3<<20)
	name := func(n string, size int) engine.File { return engine.File{Name: n, Mode: 0o600, Size: int64(size)} }
	var files []datum
	for i, size := range []int{100, 300 << 10, 3 << 20} {
		files = append(files, datum{name(fmt.Sprintf("shrunk-%d", i), size), whole[:size*2/3]},
			datum{name(fmt.Sprintf("grown-%d", i), size/2), whole[:size]})
	}
	for _, reader := range []func(datum) io.Reader{streamed, randomAccess} {
		c := seal(t, s, id, files, reader)
		r, err := OpenBase(t.Context(), c, s.open, []age.Identity{id})
		if err != nil {
			t.Fatal(err)
		}
		var padded int64
		for _, f := range files {
			got := make([]byte, f.Size)
			fr, err := r.OpenFile(t.Context(), f.Name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fr.ReadAt(got, 0); err != nil {
				t.Fatal(err)
			}
			want := make([]byte, f.Size)
			copy(want, f.data)
			missing := max(0, f.Size-int64(len(f.data)))
			if !bytes.Equal(got, want) || r.Padded(f.Name) != missing {
				t.Errorf("%s: padded %d, want %d; equal %v", f.Name, r.Padded(f.Name), missing, bytes.Equal(got, want))
			}
			padded += missing
		}
		if c.Padded != padded {
			t.Errorf("the base says %d padded bytes, want %d", c.Padded, padded)
		}
	}
}

func TestOpenFileReadsAnywhere(t *testing.T) {
	s, id, files := newShelf(), testKey(t), tree(3)
	r, err := OpenBase(t.Context(), seal(t, s, id, files, randomAccess), s.open, []age.Identity{id})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewSource(4))
	for _, f := range files {
		if !f.Mode.IsRegular() {
			continue
		}
		fr, err := r.OpenFile(t.Context(), f.Name)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			off := rnd.Int63n(f.Size + 1)
			p := make([]byte, rnd.Intn(300_000))
			n, err := fr.ReadAt(p, off)
			want := f.data[off:min(f.Size, off+int64(len(p)))]
			if n != len(want) || !bytes.Equal(p[:n], want) || (n < len(p)) != errors.Is(err, io.EOF) {
				t.Fatalf("%s: ReadAt(%d bytes, %d) = %d, %v", f.Name, len(p), off, n, err)
			}
		}
	}
	if _, err := r.OpenFile(t.Context(), "nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenFile(nowhere): %v", err)
	}
}

func TestVerifyTellsWhatIsLost(t *testing.T) {
	s, id, files := newShelf(), testKey(t), tree(4)[:40]
	c := seal(t, s, id, files, randomAccess)
	names := make([]string, 0, len(s.objects))
	for name := range s.objects {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		good := s.objects[name]
		for what, bad := range map[string][]byte{
			"flipped head": flip(good, 50), "flipped middle": flip(good, len(good)/2), "short": good[:len(good)-1],
			"half": good[:len(good)/2], "longer": append(bytes.Clone(good), 0), "swapped": s.objects[names[(sort.SearchStrings(names, name)+1)%len(names)]],
			"missing": nil,
		} {
			s.objects[name] = bad
			if bad == nil {
				delete(s.objects, name)
			}
			r, err := OpenBase(t.Context(), c, s.open, []age.Identity{id})
			if err != nil {
				t.Fatal(err)
			}
			report, err := r.Verify(t.Context(), nil)
			// A byte more than the manifest says is not read; the digest of the object tells.
			if what == "longer" {
				if err != nil {
					t.Errorf("%s %s: %v", name, what, err)
				}
				continue
			}
			if err != nil || len(report.Damage) == 0 {
				t.Errorf("%s %s: damage was not found: %v", name, what, err)
			}
			if _, err := r.Extract(t.Context(), t.TempDir(), ExtractOptions{}); err == nil {
				t.Errorf("%s %s: Extract did not refuse", name, what)
			}
		}
		s.objects[name] = good
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

func TestWrongKeyIsNotDamage(t *testing.T) {
	s := newShelf()
	c := seal(t, s, testKey(t), tree(5)[:3], streamed)
	var bad *CorruptError
	if _, err := OpenBase(t.Context(), c, s.open, []age.Identity{testKey(t)}); err == nil || errors.As(err, &bad) {
		t.Errorf("opened with a wrong key: %v", err)
	}
}

// failing is an Output whose files fail after some bytes.
type failing struct {
	*shelf
	after   int
	aborted int
}

type failingFile struct {
	store.File
	f *failing
}

var errFull = errors.New("no space left")

func (f *failing) Next(ctx context.Context, name string) (store.File, error) {
	file, err := f.shelf.Next(ctx, name)
	return &failingFile{file, f}, err
}

func (f *failingFile) Write(p []byte) (int, error) {
	if f.f.after -= len(p); f.f.after < 0 {
		return 0, errFull
	}
	return f.File.Write(p)
}

func (f *failingFile) Abort() error {
	f.f.aborted++
	return f.File.Abort()
}

func TestFailedOutputEndsTheBase(t *testing.T) {
	for _, after := range []int{0, 1 << 20, 3 << 20} {
		out := &failing{shelf: newShelf(), after: after}
		w := NewBaseWriter(t.Context(), out, BaseOptions{Recipients: []age.Recipient{testKey(t).Recipient()}})
		noise := make([]byte, 40<<20)
		rand.New(rand.NewSource(1)).Read(noise)
		err := w.Put(t.Context(), engine.File{Name: "big", Mode: 0o600, Size: int64(len(noise))}, bytes.NewReader(noise))
		if err == nil {
			_, err = w.Finish(t.Context())
		}
		if !errors.Is(err, errFull) {
			t.Errorf("after %d bytes: %v, want %v", after, err, errFull)
		}
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
		if out.aborted != 2 {
			t.Errorf("%d objects were aborted, want the pack and the map", out.aborted)
		}
	}
}

func TestCancelEndsTheBase(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	w := NewBaseWriter(ctx, newShelf(), BaseOptions{Recipients: []age.Recipient{testKey(t).Recipient()}})
	cause := errors.New("the daemon stops")
	r := readerAtFunc(func(p []byte, off int64) (int, error) {
		if off > 10<<20 {
			cancel(cause)
		}
		return len(p), nil
	})
	err := w.Put(ctx, engine.File{Name: "endless", Mode: 0o600, Size: 1 << 40}, r)
	if !errors.Is(err, cause) {
		t.Errorf("Put: %v, want %v", err, cause)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
}

type readerAtFunc func(p []byte, off int64) (int, error)

func (f readerAtFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }
func (f readerAtFunc) Read([]byte) (int, error)                { return 0, errors.New("not to be read in order") }

func TestReadErrorNamesTheFile(t *testing.T) {
	w := NewBaseWriter(t.Context(), newShelf(), BaseOptions{Recipients: []age.Recipient{testKey(t).Recipient()}})
	broken := errors.New("input/output error")
	r := readerAtFunc(func([]byte, int64) (int, error) { return 0, broken })
	err := w.Put(t.Context(), engine.File{Name: "bad.db", Mode: 0o600, Size: 5 << 20}, r)
	if err == nil {
		_, err = w.Finish(t.Context())
	} else if e := w.Abort(); e != nil {
		t.Error(e)
	}
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
