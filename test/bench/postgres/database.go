package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
)

// database is a running server with its data directory.
type database struct {
	b      *bench
	dir    string
	socket string
	server *server.Server
}

const role = "postgres"

// settings of every server here: one that could serve, with synced writes.
func settings() map[string]string {
	return map[string]string{
		"shared_buffers":        "512MB",
		"max_wal_size":          "4GB",
		"min_wal_size":          "1GB",
		"wal_level":             "replica",
		"max_wal_senders":       "10",
		"max_replication_slots": "10",
		"checkpoint_timeout":    "30min",
		"logging_collector":     "off",
	}
}

// filled gives a server with the data: pgbench's tables, and one with uuid, numeric, text and jsonb. A data directory that
// was kept from an earlier run is copied.
func (b *bench) filled(ctx context.Context, extra map[string]string) (*database, error) {
	dir, err := b.folder("database")
	if err != nil {
		return nil, err
	}
	kept := filepath.Join(b.keep, fmt.Sprintf("pg%d-%d-%d", major, b.scale, b.rows))
	if b.keep != "" {
		if _, err := os.Stat(kept); err == nil {
			if err := b.copyTree(kept, dir); err != nil {
				return nil, err
			}
			return b.serve(ctx, dir, extra)
		}
	}
	b.note("filling a database: scale %d, %d rows", b.scale, b.rows)
	if err := b.fill(ctx, dir); err != nil {
		return nil, err
	}
	if b.keep != "" {
		if err := errors.Join(os.MkdirAll(b.keep, 0o755), b.copyTree(dir, kept)); err != nil {
			return nil, err
		}
	}
	return b.serve(ctx, dir, extra)
}

// fill makes a data directory with the data and leaves it stopped.
func (b *bench) fill(ctx context.Context, dir string) error {
	if _, err := b.run(dir, b.programs.Dir+"/initdb", "-D", dir, "-U", role, "-A", "trust", "-N", "--data-checksums", "--locale=C", "-E", "UTF8"); err != nil {
		return err
	}
	d, err := b.serve(ctx, dir, map[string]string{"fsync": "off", "max_wal_size": "16GB", "autovacuum": "off", "wal_level": "minimal", "max_wal_senders": "0"})
	if err != nil {
		return err
	}
	if err := d.bench("-i", "-q", "-s", strconv.Itoa(b.scale)); err != nil {
		return err
	}
	if err := d.exec(ctx, fmt.Sprintf(table, b.rows), "vacuum (freeze, analyze)", "checkpoint"); err != nil {
		return err
	}
	defer syncAll()
	return d.stop(ctx)
}

// table packs about as well as what applications store.
const table = `create table document as select gen_random_uuid() id, (random() * 1e6)::numeric(12, 2) amount,
	'order ' || n || ' of ' || md5((n %% 1000)::text) || repeat(' item', (n %% 7)::int) note,
	jsonb_build_object('n', n, 'customer', md5(n::text), 'tags', jsonb_build_array('a' || n %% 10, 'b' || n %% 100), 'at', now()) doc
	from generate_series(1, %d) n; alter table document add primary key (id)`

// serve starts a server on dir.
func (b *bench) serve(ctx context.Context, dir string, extra map[string]string) (*database, error) {
	d := &database{b: b, dir: dir, socket: dir}
	all := settings()
	for name, value := range extra {
		all[name] = value
	}
	s, err := server.Start(ctx, server.Config{Programs: b.programs, Dir: dir, User: b.user, Own: true, Settings: all})
	if err != nil {
		return nil, err
	}
	d.server, d.socket = s, s.SocketDir()
	b.closers = append(b.closers, func() error { return d.stop(context.Background()) })
	if err := s.Ready(ctx); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, s.Tail())
	}
	return d, nil
}

func (d *database) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return d.server.Stop(ctx, server.Fast)
}

// url is how Backstay reaches it.
func (d *database) url() string { return d.server.DSN(role, "postgres") }

// bench runs pgbench to its end.
func (d *database) bench(arguments ...string) error {
	_, err := d.b.run(d.dir, d.b.programs.Dir+"/pgbench", append([]string{"-h", d.socket, "-U", role}, append(arguments, "postgres")...)...)
	return err
}

func (d *database) exec(ctx context.Context, statements ...string) error {
	c, err := pgx.Connect(ctx, d.url())
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	for _, s := range statements {
		if _, err := c.PgConn().Exec(ctx, s).ReadAll(); err != nil {
			return fmt.Errorf("%.60s: %w", s, err)
		}
	}
	return nil
}

// ask gives the one value of a query, as text.
func (d *database) ask(ctx context.Context, query string) (v string, err error) {
	c, err := pgx.Connect(ctx, d.url())
	if err != nil {
		return "", err
	}
	defer c.Close(ctx)
	err = c.QueryRow(ctx, query).Scan(&v)
	return v, err
}

// digest sums up what the tables hold.
func (d *database) digest(ctx context.Context) (string, error) {
	return d.ask(ctx, `select count(*) || '/' || sum(abalance) || '/' || (select sum(bbalance) from pgbench_branches) || '/' ||
		(select count(*) || '/' || coalesce(sum(delta), 0) from pgbench_history) from pgbench_accounts`)
}

// copyTree copies a stopped data directory, which takes the place of to.
func (b *bench) copyTree(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	_, err := b.runHere("cp", "-a", "--reflink=auto", from, to)
	return err
}
