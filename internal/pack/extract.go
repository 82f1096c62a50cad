package pack

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/directio"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/process"
)

// ExtractOptions say what of a base is laid and how.
type ExtractOptions struct {
	Workers  int                     // requests and files at once; zero means 4
	Progress func(done, total int64) // bytes of files; called from several goroutines, one at a time; may be nil
	Only     func(engine.File) bool  // what to extract; nil means everything
}

// ExtractStats say what was laid.
type ExtractStats struct {
	Files  int
	Bytes  int64
	Padded int64 // of those, zeros in place of what could not be read when the base was taken
	Direct bool  // large files went past the page cache
}

// regionBytes is how much of a file is written at once.
const regionBytes = 2 << 20

// smallWrite is the size up to which a file is written through the page cache: a direct one costs more requests.
const smallWrite = 256 << 10

// Extract lays the base into dir, which must exist; nothing in it is replaced, and no name and no link leads out of
// it. Every extent's digest is verified before it is written: the first damage ends it with a *CorruptError. Files
// are written but not synced.
func (r *BaseReader) Extract(ctx context.Context, dir string, o ExtractOptions) (ExtractStats, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ExtractStats{}, fmt.Errorf("extract base: %w", err)
	}
	defer root.Close()
	x := &extraction{r: r, root: root, o: o, chosen: map[int]*target{}}
	if x.o.Workers <= 0 {
		x.o.Workers = 4
	}
	if err := x.run(ctx); err != nil {
		x.closeAll()
		return ExtractStats{}, err
	}
	return x.stats, nil
}

// extraction is one Extract under way.
type extraction struct {
	r      *BaseReader
	root   *os.Root
	o      ExtractOptions
	chosen map[int]*target // by index of the file
	stats  ExtractStats

	mu   sync.Mutex // of done and of calls to Progress
	done int64
}

// target is a file being laid, maybe by several workers at once.
type target struct {
	file *baseFile
	once sync.Once
	err  error
	w    *directio.Writer
	rest atomic.Int64 // bytes still to be written
}

// run goes: folders and empty files; data, in parallel; links; times and modes of folders, innermost first. Links
// come after data, so that no data can go through one.
func (x *extraction) run(ctx context.Context) error {
	var links, folders []*baseFile
	for _, f := range x.r.files {
		if x.o.Only != nil && !x.o.Only(f.File) {
			continue
		}
		if err := x.makeParent(f.Name); err != nil {
			return err
		}
		x.stats.Files++
		switch f.Mode.Type() {
		case fs.ModeDir:
			folders = append(folders, f)
			if err := x.root.MkdirAll(filepath.FromSlash(f.Name), 0o700); err != nil {
				return fmt.Errorf("extract %s: %w", f.Name, err)
			}
		case fs.ModeSymlink:
			links = append(links, f)
		case 0:
			if err := x.choose(f); err != nil {
				return err
			}
		default:
			return corrupt(sealedName, nil, "file %q is of a kind that no base holds", f.Name)
		}
	}
	if err := x.data(ctx); err != nil {
		return err
	}
	for _, f := range links {
		if err := x.root.Symlink(f.Link, filepath.FromSlash(f.Name)); err != nil {
			return fmt.Errorf("extract %s: %w", f.Name, err)
		}
	}
	for _, f := range slices.Backward(folders) {
		if err := x.dress(f); err != nil {
			return err
		}
	}
	return nil
}

func (x *extraction) makeParent(name string) error {
	parent := path.Dir(name)
	if parent == "." {
		return nil
	}
	if err := x.root.MkdirAll(filepath.FromSlash(parent), 0o700); err != nil {
		return fmt.Errorf("extract %s: %w", name, err)
	}
	return nil
}

// choose marks a regular file for extraction; an empty one is made at once.
func (x *extraction) choose(f *baseFile) error {
	t := &target{file: f}
	t.rest.Store(f.Size)
	x.stats.Bytes += f.Size
	x.stats.Padded += f.Padded
	if f.Size > 0 {
		x.chosen[f.index] = t
		return nil
	}
	if err := t.open(x.root); err != nil {
		return err
	}
	return x.closeTarget(t)
}

// data reads the maps and lets the workers do what they name.
func (x *extraction) data(ctx context.Context) error {
	if len(x.chosen) == 0 {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	jobs := make(chan *job, x.o.Workers)
	g.Go(func() error {
		defer close(jobs)
		for j, err := range x.r.jobs(ctx, x.r.contents.Maps, func(f *baseFile) bool { return x.chosen[f.index] != nil }) {
			if err != nil {
				return err
			}
			select {
			case jobs <- j:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	for range x.o.Workers {
		g.Go(func() error { process.YieldFor(ctx); return x.work(ctx, jobs) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, t := range x.chosen {
		if rest := t.rest.Load(); rest != 0 {
			return corrupt(sealedName, nil, "the maps miss %d bytes of file %q", rest, t.file.Name)
		}
	}
	return nil
}

func (x *extraction) work(ctx context.Context, jobs <-chan *job) error {
	frames := newFrameReader(x.r.key[:])
	region := directio.Block(regionBytes + frameBytes)
	for j := range jobs {
		if err := x.lay(ctx, j, frames, region); err != nil {
			return err
		}
	}
	return nil
}

// lay writes what one job holds.
func (x *extraction) lay(ctx context.Context, j *job, frames *frameReader, region []byte) error {
	u, err := x.r.pack(ctx, j.pack)
	if err != nil {
		return err
	}
	if err := frames.begin(ctx, u, j); err != nil {
		return err
	}
	defer frames.end()
	buf, from := region[:0], int64(0)
	var t *target
	for _, run := range j.runs {
		if t != nil && (t.file.index != run.File || from+int64(len(buf)) != run.Offset) {
			if err := x.write(t, buf, from); err != nil {
				return err
			}
			buf = region[:0]
		}
		t = x.chosen[run.File]
		if len(buf) == 0 {
			from = run.Offset
		}
		at := run.At
		for i, stored := range run.Stored {
			if buf, err = frames.extent(buf, t.file, run, i, at); err != nil {
				return err
			}
			at += int64(stored)
			if len(buf) >= regionBytes {
				if err := x.write(t, buf, from); err != nil {
					return err
				}
				from += int64(len(buf))
				buf = region[:0]
			}
		}
	}
	return x.write(t, buf, from)
}

// write puts p at off of the target and closes it with its last byte.
func (x *extraction) write(t *target, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	if t.once.Do(func() { t.err = t.open(x.root) }); t.err != nil {
		return t.err
	}
	if _, err := t.w.WriteAt(p, off); err != nil {
		return fmt.Errorf("extract %s: %w", t.file.Name, err)
	}
	if t.rest.Add(-int64(len(p))) == 0 {
		if err := x.closeTarget(t); err != nil {
			return err
		}
	}
	x.progress(int64(len(p)))
	return nil
}

func (x *extraction) progress(n int64) {
	if x.o.Progress == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.done += n
	x.o.Progress(x.done, x.stats.Bytes)
}

func (t *target) open(root *os.Root) error {
	create := directio.CreateIn
	if t.file.Size <= smallWrite {
		create = directio.CreatePlainIn
	}
	w, err := create(root, t.file.Name, 0o600)
	if err != nil {
		return fmt.Errorf("extract %s: %w", t.file.Name, err)
	}
	t.w = w
	if t.file.Size > regionBytes {
		if err := w.Reserve(t.file.Size); err != nil {
			return fmt.Errorf("extract %s: %w", t.file.Name, err)
		}
	}
	return nil
}

func (x *extraction) closeTarget(t *target) error {
	direct := t.w.Direct()
	if err := t.w.Close(); err != nil {
		return fmt.Errorf("extract %s: %w", t.file.Name, err)
	}
	if direct {
		x.mu.Lock()
		x.stats.Direct = true
		x.mu.Unlock()
	}
	return x.dress(t.file)
}

// dress gives a laid file or folder its mode and time.
func (x *extraction) dress(f *baseFile) error {
	name := filepath.FromSlash(f.Name)
	err := x.root.Chmod(name, f.Mode&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky))
	if err == nil && !f.ModTime.IsZero() {
		err = x.root.Chtimes(name, f.ModTime, f.ModTime)
	}
	if err != nil {
		return fmt.Errorf("extract %s: %w", f.Name, err)
	}
	return nil
}

// closeAll closes what a failed extraction left open.
func (x *extraction) closeAll() {
	for _, t := range x.chosen {
		if t.w != nil {
			_ = t.w.Close() // the extraction has failed already
		}
	}
}
