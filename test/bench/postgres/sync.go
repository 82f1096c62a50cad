package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// runSync lets pgbench commit behind a synchronous standby: Backstay, and pg_receivewal, in turn.
func runSync(ctx context.Context, b *bench) error {
	d, err := b.filled(ctx, nil)
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
	if _, err := o.p.Stop(); err != nil {
		return err
	}
	into, err := b.folder("receivewal")
	if err != nil {
		return err
	}
	receive := []string{"-h", d.socket, "-U", role, "-D", into, "--slot=peer", "--synchronous"}
	if _, err := b.run(into, b.programs.Dir+"/pg_receivewal", append(receive, "--create-slot", "--if-not-exists")...); err != nil {
		return err
	}
	systems := []struct {
		name  string
		start func() (*measure.Process, error)
	}{
		{"nobody", nil},
		{"pg_receivewal", func() (*measure.Process, error) { return b.start(into, b.programs.Dir+"/pg_receivewal", receive...) }},
		{"backstay", func() (*measure.Process, error) { return b.start(o.dir, b.backstay, "run") }},
	}
	rates := map[string][]int64{}
	for round := range b.rounds {
		for i := range systems {
			s := systems[(i+round)%len(systems)]
			if !b.wants(s.name) {
				continue
			}
			tps, err := b.syncTurn(ctx, d, s.start)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			b.note("round %d: %s: %.0f/s", round+1, s.name, tps)
			rates[s.name] = append(rates[s.name], int64(tps))
		}
	}
	t := measure.NewTable("synchronous standby", "commits/s (median)", "of pg_receivewal")
	peer := measure.MedianSize(rates["pg_receivewal"])
	for _, s := range systems {
		n := measure.MedianSize(rates[s.name])
		t.Add(s.name, strconv.FormatInt(n, 10), measure.Ratio(n, peer))
	}
	b.note("goal: >= 0.9 x")
	return t.Print(b.out)
}

// syncTurn measures with the one standby that start starts; nil means none.
func (b *bench) syncTurn(ctx context.Context, d *database, start func() (*measure.Process, error)) (tps float64, err error) {
	if start == nil {
		return d.pressure(b.seconds, b.clients)
	}
	p, err := start()
	if err != nil {
		return 0, err
	}
	if err := d.exec(ctx, "alter system set synchronous_standby_names = '*'", "select pg_reload_conf()"); err != nil {
		return 0, err
	}
	for {
		n, err := d.ask(ctx, "select count(*)::text from pg_stat_replication where sync_state in ('sync', 'quorum')")
		if err != nil {
			return 0, err
		}
		if n == "1" {
			break
		}
		if err := p.Alive(); err != nil {
			return 0, err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
	}
	if tps, err = d.pressure(b.seconds, b.clients); err != nil {
		return 0, err
	}
	if err := d.exec(ctx, "alter system reset synchronous_standby_names", "select pg_reload_conf()"); err != nil {
		return 0, err
	}
	_, err = p.Stop()
	return tps, err
}

var tpsLine = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

// pressure runs pgbench's own transactions at full speed and gives their rate.
func (d *database) pressure(seconds, clients int) (float64, error) {
	c := d.b.command(d.dir, d.b.programs.Dir+"/pgbench", "-h", d.socket, "-U", role, "-n", "-T", strconv.Itoa(seconds), "-c", strconv.Itoa(clients), "-j", "2", "postgres")
	out, err := c.Output()
	if err != nil {
		if e, ok := err.(*exec.ExitError); ok {
			return 0, fmt.Errorf("pgbench: %w\n%s", err, e.Stderr)
		}
		return 0, err
	}
	m := tpsLine.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("pgbench printed no rate:\n%s", out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}
