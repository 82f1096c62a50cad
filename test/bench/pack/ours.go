//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"sync"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/directio"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/store"
)

func ourStore(dir string) (usage, error) { return self(dir, "store") }

func ourRestore(dir string) (usage, error) { return self(dir, "restore") }

// self runs this program as a process of its own.
func self(dir, what string) (usage, error) {
	exe, err := os.Executable()
	if err != nil {
		return usage{}, err
	}
	return measure(dir, exec.Command(exe, "-child", what, "-dir", dir))
}

func ourSize(dir string) (int64, error) {
	var c pack.Contents
	b, err := os.ReadFile(filepath.Join(dir, "repo", "contents"))
	if err != nil {
		return 0, err
	}
	err = json.Unmarshal(b, &c)
	return c.StoredBytes(), err
}

// runChild does one step. BENCH_PROFILE names a file for a processor profile.
func runChild(what, dir string) error {
	if path := os.Getenv("BENCH_PROFILE"); path != "" {
		f, err := os.Create(path + "." + what)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if what == "generate" {
		return errors.Join(generate(filepath.Join(dir, "src"), 1<<30), writeKey(dir),
			os.Mkdir(filepath.Join(dir, "repo"), 0o700), os.Mkdir(filepath.Join(dir, "out"), 0o700))
	}
	id, err := readKey(dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	switch what {
	case "store":
		return storeTree(ctx, dir, id)
	case "restore":
		return restoreTree(ctx, dir, id)
	}
	return fmt.Errorf("no step is called %q", what)
}

func storeTree(ctx context.Context, dir string, id *age.X25519Identity) error {
	w := pack.NewBaseWriter(ctx, folder(filepath.Join(dir, "repo")), pack.BaseOptions{Recipients: []age.Recipient{id.Recipient()}})
	src := filepath.Join(dir, "src")
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == src {
			return err
		}
		return put(ctx, w, src, path, d)
	})
	if err != nil {
		return errors.Join(err, w.Abort())
	}
	c, err := w.Finish(ctx)
	if err != nil {
		return err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "repo", "contents"), b, 0o600)
}

func put(ctx context.Context, w *pack.BaseWriter, src, path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(src, path)
	if err != nil {
		return err
	}
	f := engine.File{Name: filepath.ToSlash(rel), Mode: info.Mode(), Size: info.Size(), ModTime: info.ModTime()}
	if d.IsDir() {
		return w.Put(ctx, f, nil)
	}
	r, err := directio.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	return w.Put(ctx, f, struct {
		io.Reader
		io.ReaderAt
	}{io.NewSectionReader(r, 0, f.Size), r})
}

func restoreTree(ctx context.Context, dir string, id *age.X25519Identity) error {
	var c pack.Contents
	b, err := os.ReadFile(filepath.Join(dir, "repo", "contents"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	files := &opened{dir: filepath.Join(dir, "repo"), files: map[string]*directio.File{}}
	r, err := pack.OpenBase(ctx, c, files.open, []age.Identity{id})
	if err != nil {
		return err
	}
	_, err = r.Extract(ctx, filepath.Join(dir, "out"), pack.ExtractOptions{})
	return err
}

// folder is an Output of plain files.
type folder string

func (f folder) Next(_ context.Context, name string) (store.File, error) {
	path := filepath.Join(string(f), name)
	w, err := directio.Create(path+".part", 0o600)
	if err != nil {
		return nil, err
	}
	return &object{w, path}, nil
}

type object struct {
	*directio.Writer
	path string
}

func (o *object) Commit(context.Context) error {
	if err := errors.Join(o.Sync(), o.Close()); err != nil {
		return err
	}
	return os.Rename(o.path+".part", o.path)
}

func (o *object) Abort() error { return errors.Join(o.Close(), os.Remove(o.path+".part")) }

// opened keeps the objects open that were read once.
type opened struct {
	dir   string
	mu    sync.Mutex
	files map[string]*directio.File
}

func (o *opened) open(_ context.Context, name string, off, n int64) (io.ReadCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.files[name]
	if f == nil {
		var err error
		if f, err = directio.Open(filepath.Join(o.dir, name)); err != nil {
			return nil, err
		}
		o.files[name] = f
	}
	return f.Section(off, n), nil
}
