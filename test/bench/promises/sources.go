package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	_ "modernc.org/sqlite"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/test/bench/measure"
)

// host is a folder with sources and the daemon that protects them.
type host struct {
	dir, binary string
	servers     []*server.Server
	daemon      *measure.Process
}

func runSources(ctx context.Context, args []string) (err error) {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("sources reads /proc, which %s does not have", runtime.GOOS)
	}
	fs := flag.NewFlagSet("sources", flag.ContinueOnError)
	databases := fs.Int("sqlite", 200, "SQLite databases")
	servers := fs.Int("postgres", 3, "PostgreSQL servers; 0 for none")
	settle := fs.Duration("settle", 3*time.Minute, "how long the daemon may work after the last first base")
	duration := fs.Duration("duration", time.Minute, "how long it is watched")
	binary := fs.String("backstay", "", "the program; built from this tree if not given")
	keep := fs.String("keep", "", "a folder for all of it, which stays; else a temporary one")
	if err := fs.Parse(args); err != nil {
		return err
	}
	h := &host{binary: *binary, dir: *keep}
	if h.dir != "" {
		if err = os.MkdirAll(h.dir, 0o755); err != nil {
			return err
		}
	} else {
		if h.dir, err = os.MkdirTemp("", "backstay-bench-"); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, h.close(*keep == "")) }()
	if err := h.fill(ctx, *databases, *servers); err != nil {
		return err
	}
	began := time.Now()
	if err := h.protect(ctx, *databases+*servers); err != nil {
		return err
	}
	fmt.Printf("%d first bases took %s\n", *databases+*servers, measure.Short(time.Since(began)))
	if err := pause(ctx, *settle); err != nil {
		return err
	}
	mean, top, share, err := h.watch(ctx, *duration)
	if err != nil {
		return err
	}
	t := measure.NewTable("what", "measured", "goal")
	t.Add("resident, mean", measure.Size(mean), "<= 200 MB")
	t.Add("resident, max", measure.Size(top), "<= 200 MB")
	t.Add("share of a core", fmt.Sprintf("%.2f %%", 100*share), "<= 3 %")
	return t.Print(os.Stdout)
}

// fill makes the sources and the file.
func (h *host) fill(ctx context.Context, databases, servers int) error {
	if err := os.Chmod(h.dir, 0o755); err != nil {
		return err
	}
	if h.binary == "" {
		h.binary = filepath.Join(h.dir, "backstay")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", h.binary, "./cmd/backstay").CombinedOutput(); err != nil {
			return fmt.Errorf("build backstay: %w\n%s", err, out)
		}
	}
	var b strings.Builder
	b.WriteString("repositories: { local: { store: ./repo } }\nclasses:\n  standard: { rpo: 15m, rto: 4h, window: 7d, repositories: [local], base: { full: weekly }, drill: weekly, check_every: 7d, deep_check_every: 30d }\nsources:\n")
	for i := range databases {
		name := fmt.Sprintf("db%03d", i)
		if err := newDatabase(filepath.Join(h.dir, name+".db")); err != nil {
			return err
		}
		fmt.Fprintf(&b, "  %s: { url: \"sqlite:./%s.db\", class: standard }\n", name, name)
	}
	for i := range servers {
		s, err := h.newServer(ctx, i)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "  pg%d: { url: \"%s\", class: standard }\n", i, s.DSN("postgres", "postgres"))
	}
	return os.WriteFile(filepath.Join(h.dir, "backstay.yaml"), []byte(b.String()), 0o600)
}

// newDatabase makes one in WAL mode with a thousand rows.
func newDatabase(path string) error {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=synchronous(off)")
	if err != nil {
		return err
	}
	_, err = db.Exec(`create table orders (n integer primary key, note text);
		with recursive c(n) as (select 1 union all select n + 1 from c where n < 1000) insert into orders select n, 'order ' || n || ' of ' || hex(randomblob(40)) from c`)
	return errors.Join(err, db.Close())
}

// newServer starts a PostgreSQL server on a fresh data directory.
func (h *host) newServer(ctx context.Context, i int) (*server.Server, error) {
	var programs server.Programs
	var err error
	for major := 18; major >= 12; major-- {
		if programs, err = server.Find(major); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	user, err := server.Owner("/")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(h.dir, fmt.Sprintf("pg%d", i))
	if err := errors.Join(os.Mkdir(dir, 0o700), user.Give(dir)); err != nil {
		return nil, err
	}
	initdb := programs.Command(user, "initdb", "-D", dir, "-U", "postgres", "-A", "trust", "-N", "--locale=C", "-E", "UTF8")
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	s, err := server.Start(ctx, server.Config{Programs: programs, Dir: dir, User: user, Own: true, Settings: map[string]string{"wal_level": "replica", "shared_buffers": "16MB"}})
	if err != nil {
		return nil, err
	}
	h.servers = append(h.servers, s)
	return s, s.Ready(ctx)
}

// protect starts the daemon, and waits until every source has a base.
func (h *host) protect(ctx context.Context, sources int) error {
	cmd := exec.Command(h.binary, "run")
	cmd.Dir = h.dir
	var err error
	if h.daemon, err = measure.Start(cmd, h.dir); err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); {
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		st, err := api.Dial(filepath.Join(h.dir, ".backstay")).Status(ctx)
		if err != nil {
			continue
		}
		ready := 0
		for _, s := range st.Sources {
			if s.State == "following" && len(s.Repositories) > 0 && s.Repositories[0].Bases > 0 {
				ready++
			}
		}
		if ready == sources {
			return nil
		}
	}
	return fmt.Errorf("not every source has a base after ten minutes\n%s", h.daemon.Tail())
}

// watch reads the resident set once a second, and the processor time at both ends.
func (h *host) watch(ctx context.Context, d time.Duration) (mean, top int64, share float64, err error) {
	pid := h.daemon.Pid()
	before, err := measure.Processor(pid)
	if err != nil {
		return 0, 0, 0, err
	}
	began := time.Now()
	var sum, n int64
	for time.Since(began) < d {
		if err := pause(ctx, min(time.Second, d)); err != nil {
			return 0, 0, 0, err
		}
		rss, err := measure.Memory(pid, "VmRSS")
		if err != nil {
			return 0, 0, 0, fmt.Errorf("%w\n%s", err, h.daemon.Tail())
		}
		sum, n, top = sum+rss, n+1, max(top, rss)
	}
	after, err := measure.Processor(pid)
	return sum / max(n, 1), top, (after - before).Seconds() / time.Since(began).Seconds(), err
}

// close ends what was started.
func (h *host) close(remove bool) error {
	var errs []error
	if h.daemon != nil {
		_, err := h.daemon.Stop()
		errs = append(errs, err)
	}
	for _, s := range h.servers {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		errs = append(errs, s.Stop(ctx, server.Fast))
		cancel()
	}
	if remove {
		errs = append(errs, os.RemoveAll(h.dir))
	}
	return errors.Join(errs...)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
