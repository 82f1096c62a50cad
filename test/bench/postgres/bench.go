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

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/test/bench/measure"
)

// bench is what one run of a benchmark works with. All programs that are compared run as the servers' user.
type bench struct {
	options
	root     string // of the repository
	work     string // folder for all data, removed at the end
	logs     string
	programs server.Programs
	user     server.User
	folders  int
	closers  []func() error
	out      io.Writer
}

// major is the version that is measured: that of Debian's packages.
const major = 15

// open finds the repository, builds the program and makes the folder for data.
func open(ctx context.Context, o options) (_ *bench, err error) {
	b := &bench{options: o, out: os.Stdout}
	if b.root, err = findRoot(); err != nil {
		return nil, err
	}
	if b.programs, err = server.Find(major); err != nil {
		return nil, err
	}
	if b.user, err = server.Owner("/"); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return nil, err
	}
	if b.work, err = os.MkdirTemp(o.dir, "backstay-bench-"); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, func() error { return os.RemoveAll(b.work) })
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) prepare(ctx context.Context) (err error) {
	if err := os.Chmod(b.work, 0o755); err != nil {
		return err
	}
	if b.logs, err = b.folder("logs"); err != nil {
		return err
	}
	return b.build(ctx)
}

// build makes our program where the servers' user can start it.
func (b *bench) build(ctx context.Context) error {
	to := filepath.Join(b.work, "backstay")
	if b.backstay != "" {
		program, err := os.ReadFile(b.backstay)
		if err != nil {
			return err
		}
		b.backstay = to
		return os.WriteFile(to, program, 0o755)
	}
	b.backstay = to
	c := exec.CommandContext(ctx, "go", "build", "-o", to, "./cmd/backstay")
	c.Dir = b.root
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build backstay: %w\n%s", err, out)
	}
	return nil
}

// close ends what still runs and removes all data.
func (b *bench) close() (err error) {
	for len(b.closers) > 0 {
		last := len(b.closers) - 1
		err = errors.Join(err, b.closers[last]())
		b.closers = b.closers[:last]
	}
	return err
}

// folder makes a new folder of the servers' user below the one for data.
func (b *bench) folder(name string) (string, error) {
	b.folders++
	dir := filepath.Join(b.work, fmt.Sprintf("%02d-%s", b.folders, name))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	return dir, b.user.Give(dir)
}

// findRoot goes up from the current folder to the main module.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/backstaydb/backstay\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run the benchmarks from within the repository")
		}
	}
}

// command is a program that runs as the servers' user in dir.
func (b *bench) command(dir, name string, arguments ...string) *exec.Cmd {
	c := exec.Command(name, arguments...)
	c.Dir = dir
	c.Env = []string{"PATH=" + b.programs.Dir + ":/usr/bin:/bin", "HOME=" + dir, "LANG=C.UTF-8", "NO_COLOR=1"}
	b.user.Apply(c)
	return c
}

// run runs a program to its end.
func (b *bench) run(dir, name string, arguments ...string) (measure.Usage, error) {
	return measure.Run(b.command(dir, name, arguments...), b.logs)
}

// start starts a program that is stopped at the latest when the benchmark ends.
func (b *bench) start(dir, name string, arguments ...string) (*measure.Process, error) {
	p, err := measure.Start(b.command(dir, name, arguments...), b.logs)
	if err == nil {
		b.closers = append(b.closers, func() error { _, err := p.Stop(); return err })
	}
	return p, err
}

// heading says what runs where, so that a printed result can be read alone.
func (b *bench) heading(ctx context.Context, c command) {
	b.note("%s: %s", c.name, c.does)
	b.note("machine: %d cores, %s/%s, %s; data in %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), b.dir)
	b.note("backstay: commit %s; PostgreSQL %s; %s", b.line(ctx, "git", "rev-parse", "--short", "HEAD"), b.programs.Version, b.line(ctx, "pgbackrest", "version"))
}

// line is what a short command prints, "unknown" where it fails: it is for people only.
func (b *bench) line(ctx context.Context, name string, arguments ...string) string {
	c := exec.CommandContext(ctx, name, arguments...)
	c.Dir = b.root
	out, err := c.Output()
	if err != nil {
		return name + " unknown"
	}
	return strings.TrimSpace(string(out))
}

func (b *bench) note(format string, a ...any) { fmt.Fprintf(b.out, format+"\n", a...) }
