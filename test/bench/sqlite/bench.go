package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// bench is what one run of a benchmark works with: its folder, the programs it built, its output.
type bench struct {
	options
	root    string // of the repository
	bin     string // folder of the programs
	work    string // folder for all data, removed at the end
	folders int    // made so far, for unique names
	started []*measure.Process
	out     io.Writer
}

const module = "module github.com/backstaydb/backstay\n"

// open finds the repository, builds the programs and makes the folder for data.
func open(ctx context.Context, o options) (*bench, error) {
	b := &bench{options: o, out: os.Stdout}
	var err error
	if b.root, err = findRoot(); err != nil {
		return nil, err
	}
	if b.backstay != "" {
		if b.backstay, err = filepath.Abs(b.backstay); err != nil {
			return nil, err
		}
	}
	b.bin = filepath.Join(b.root, ".cache", "bin", "bench")
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	if o.dir != "" {
		if err := os.MkdirAll(o.dir, 0o755); err != nil {
			return nil, err
		}
	}
	if b.work, err = os.MkdirTemp(o.dir, "backstay-bench-"); err != nil {
		return nil, err
	}
	b.work, err = filepath.Abs(b.work)
	return b, err
}

// close ends what a failed benchmark left running and removes all data.
func (b *bench) close() error {
	for _, p := range b.started {
		_, _ = p.Stop() // one that failed has been reported
	}
	return os.RemoveAll(b.work)
}

// folder makes a new folder below the one for data.
func (b *bench) folder(name string) (string, error) {
	b.folders++
	dir := filepath.Join(b.work, fmt.Sprintf("%02d-%s", b.folders, name))
	return dir, os.MkdirAll(dir, 0o755)
}

// findRoot goes up from the current folder to the main module.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), module) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run the benchmarks from within the repository")
		}
	}
}

// build makes the three programs: ours, the writer, the peer from its own module.
func (b *bench) build(ctx context.Context) error {
	for _, p := range []struct{ name, dir, pkg string }{
		{"backstay", ".", "./cmd/backstay"},
		{"writer", ".", "./test/bench/sqlite/writer"},
		{"litestream-peer", "test/bench/peer", "."},
	} {
		if p.name == "backstay" && b.backstay != "" {
			continue
		}
		c := exec.CommandContext(ctx, "go", "build", "-o", b.program(p.name), p.pkg)
		c.Dir = filepath.Join(b.root, p.dir)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", p.name, err, out)
		}
	}
	return nil
}

// program is the path of one that was built.
func (b *bench) program(name string) string {
	if name == "backstay" && b.backstay != "" {
		return b.backstay
	}
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(b.bin, name)
}

// heading says what runs where, so that a printed result can be read alone.
func (b *bench) heading(ctx context.Context, c command) {
	fmt.Fprintf(b.out, "%s: %s\n", c.name, c.does)
	fmt.Fprintf(b.out, "machine: %d cores, %s/%s, %s; data in %s\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), filepath.Dir(b.work))
	fmt.Fprintf(b.out, "backstay: commit %s; peer: Litestream %s\n", b.line(ctx, "git", "rev-parse", "--short", "HEAD"),
		b.line(ctx, "go", "-C", "test/bench/peer", "list", "-m", "-f", "{{.Version}}", "github.com/benbjohnson/litestream"))
}

// line is what a short command prints, "unknown" where it fails: it is for people only.
func (b *bench) line(ctx context.Context, name string, args ...string) string {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = b.root
	out, err := c.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// note prints one line of text below the tables.
func (b *bench) note(format string, a ...any) { fmt.Fprintf(b.out, format+"\n", a...) }
