package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/test/bench/measure"
)

// runReplay makes a base and much log after it, then lets servers replay it: one with restore_command = cp from a local
// folder, and Backstay's restore, less what a restore takes that replays nothing.
func runReplay(ctx context.Context, b *bench) error {
	archive, err := b.folder("archive")
	if err != nil {
		return err
	}
	d, err := b.filled(ctx, map[string]string{"archive_mode": "on", "archive_command": "cp %p " + archive + "/%f",
		"synchronous_commit": "off"}) // it is the replay that is measured, and so much log takes long enough to write
	if err != nil {
		return err
	}
	o, err := newBackstay(b)
	if err != nil {
		return err
	}
	if err := o.protect(ctx, d); err != nil {
		return err
	}
	base, err := b.folder("base")
	if err != nil {
		return err
	}
	if _, err := b.run(base, b.programs.Dir+"/pg_basebackup", "-h", d.socket, "-U", role, "-D", base, "-X", "none", "-c", "fast"); err != nil {
		return err
	}
	if err := b.makeLog(ctx, d, o); err != nil {
		return err
	}
	want, err := d.digest(ctx)
	if err != nil {
		return err
	}
	if _, err := o.p.Stop(); err != nil {
		return err
	}
	var copied, ours []time.Duration
	for round := range b.rounds {
		c, err := b.copyTurn(ctx, base, archive, want)
		if err != nil {
			return err
		}
		r, err := b.replayTurn(ctx, o, want)
		if err != nil {
			return err
		}
		b.note("round %d: cp %s; backstay %s", round+1, measure.Short(c), measure.Short(r))
		copied, ours = append(copied, c), append(ours, r)
	}
	b.note("replay of %s: cp %s, backstay %s: %s", measure.Size(b.log), measure.Short(measure.MedianTime(copied)), measure.Short(measure.MedianTime(ours)),
		measure.Ratio(measure.MedianTime(ours), measure.MedianTime(copied)))
	b.note("goal: <= 1.1 x")
	return nil
}

// makeLog has pgbench write until there is so much log as asked for, all of it archived by both.
func (b *bench) makeLog(ctx context.Context, d *database, o *backstay) error {
	from, err := d.flushed(ctx)
	if err != nil {
		return err
	}
	for {
		now, err := d.flushed(ctx)
		if err != nil {
			return err
		}
		if now.lsn-from.lsn >= uint64(b.log) {
			break
		}
		if _, err := d.pressure(5, b.clients); err != nil {
			return err
		}
	}
	last, err := d.ask(ctx, "select pg_walfile_name(pg_switch_wal())")
	if err != nil {
		return err
	}
	end, err := d.flushed(ctx)
	if err != nil {
		return err
	}
	w := &watcher{folder: filepath.Join(o.store, source, "ledger", "checkpoint")}
	b.note("%s of log", measure.Size(int64(end.lsn-from.lsn)))
	return o.until(ctx, func() (bool, error) {
		archived, err := d.ask(ctx, "select coalesce(last_archived_wal, '') from pg_stat_archiver")
		if err != nil || archived < last {
			return false, err
		}
		reach, err := w.look()
		return wal.LSN(reach) >= wal.LSN(end.lsn), err
	})
}

// copyTurn is a server that fetches each segment with cp; the time until it is promoted and ready.
func (b *bench) copyTurn(ctx context.Context, base, archive, want string) (took time.Duration, err error) {
	dir, err := b.folder("restored")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := b.copyTree(base, dir); err != nil {
		return 0, err
	}
	signal := filepath.Join(dir, "recovery.signal")
	if err := errors.Join(os.WriteFile(signal, nil, 0o600), b.user.Give(signal)); err != nil {
		return 0, err
	}
	syncAll()
	began := time.Now()
	d, err := b.serve(ctx, dir, map[string]string{"restore_command": "cp " + archive + "/%f %p", "hot_standby": "off"})
	if err != nil {
		return 0, err
	}
	took = time.Since(began)
	got, err := d.digest(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("restored tables sum up to %s, want %s", got, want)
	}
	return took, errors.Join(err, d.stop(ctx))
}

// replayTurn is a restore to the newest moment less one that replays only what its base needs.
func (b *bench) replayTurn(ctx context.Context, o *backstay, want string) (took time.Duration, err error) {
	var walls []time.Duration
	for _, to := range []string{"latest", "immediate"} {
		dir, err := b.folder("restored")
		if err != nil {
			return 0, err
		}
		u, err := o.restore(ctx, dir, to)
		if err == nil && to == "latest" {
			_, err = b.opens(ctx, dir, want)
		}
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			return 0, err
		}
		walls = append(walls, u.Wall)
	}
	return walls[0] - walls[1], nil
}
