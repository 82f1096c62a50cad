package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/scratch"
)

// major is the version of the server.
const major = 15

// figures of one run, or their medians.
type figures struct {
	latency float64 // µs for a transaction
	cpu     float64 // µs of the proxy for a transaction
}

func transactions(ctx context.Context, o options) error {
	programs, err := server.Find(major)
	if err != nil {
		return err
	}
	dir, err := scratch.New("/tmp")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := os.Chmod(dir.Path(), 0o755); err != nil {
		return err
	}
	member, stop, err := database(ctx, programs, dir.Path())
	if err != nil {
		return err
	}
	defer stop()
	hops := []*hop{{name: "direct", address: member}}
	for _, start := range []func() (*hop, error){
		func() (*hop, error) { return haproxy(dir.Path(), member) },
		func() (*hop, error) { return pgbouncer(dir.Path(), member) },
		func() (*hop, error) { return backstay(member, o.profile) },
	} {
		h, err := start()
		if err != nil {
			return err
		}
		defer h.stop()
		hops = append(hops, h)
	}
	clients := []int{1, 8}
	if o.clients > 0 {
		clients = []int{o.clients}
	}
	for _, n := range clients {
		if err := compare(programs, hops, n, o); err != nil {
			return err
		}
	}
	return nil
}

// database is a small server that trusts everyone on loopback, and its address.
func database(ctx context.Context, p server.Programs, dir string) (address string, stop func(), err error) {
	u, err := server.Owner("/")
	if err != nil {
		return "", nil, err
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return "", nil, err
	}
	if err := u.Give(data); err != nil {
		return "", nil, err
	}
	if out, err := p.Command(u, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "--locale=C").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("make a database: %w\n%s", err, out)
	}
	if address, err = freeAddress(); err != nil {
		return "", nil, err
	}
	s, err := server.Start(ctx, server.Config{Programs: p, Dir: data, User: u, Own: true, Listen: address,
		Settings: map[string]string{"shared_buffers": "128MB", "max_connections": "60", "fsync": "off"}})
	if err != nil {
		return "", nil, err
	}
	stop = func() { _ = s.Stop(context.Background(), server.Fast) }
	if err := s.Ready(ctx); err != nil {
		stop()
		return "", nil, err
	}
	if _, err := pgbench(p, address, "-i", "-q", "-s", "5"); err != nil {
		stop()
		return "", nil, err
	}
	return address, stop, nil
}

func pgbench(p server.Programs, address string, arguments ...string) (string, error) {
	host, port, _ := net.SplitHostPort(address)
	cmd := exec.Command(filepath.Join(p.Dir, "pgbench"), append([]string{"-h", host, "-p", port, "-U", "postgres"}, append(arguments, "postgres")...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("pgbench through %s: %w\n%s", address, err, out)
	}
	return string(out), nil
}

var rates = regexp.MustCompile(`(?s)actually processed: (\d+).*latency average = ([\d.]+) ms`)

// one runs pgbench once through h.
func one(p server.Programs, h *hop, clients, seconds int) (f figures, err error) {
	before, err := h.cpu()
	if err != nil {
		return f, err
	}
	out, err := pgbench(p, h.address, "-S", "-M", "prepared", "-n", "-c", strconv.Itoa(clients), "-j", "1", "-T", strconv.Itoa(seconds))
	if err != nil {
		return f, err
	}
	after, err := h.cpu()
	if err != nil {
		return f, err
	}
	m := rates.FindStringSubmatch(out)
	if m == nil {
		return f, fmt.Errorf("pgbench said something unexpected:\n%s", out)
	}
	count, _ := strconv.ParseFloat(m[1], 64)
	latency, _ := strconv.ParseFloat(m[2], 64)
	return figures{latency * 1000, float64((after - before).Microseconds()) / count}, nil
}

// compare runs pgbench through the hops in turn and prints medians.
func compare(p server.Programs, hops []*hop, clients int, o options) error {
	all := map[*hop][]figures{}
	for round := range o.rounds + 1 {
		for _, h := range hops {
			f, err := one(p, h, clients, o.seconds)
			if err != nil {
				return err
			}
			if round > 0 { // the first one warms up
				all[h] = append(all[h], f)
			}
			time.Sleep(pause)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d client(s)\tlatency µs\t× haproxy\tCPU µs/transaction\t× haproxy\n", clients)
	base := medians(all[hops[1]])
	for _, h := range hops {
		m := medians(all[h])
		fmt.Fprintf(w, "%s\t%.1f\t%.2f\t%.1f\t%.2f\n", h.name, m.latency, m.latency/base.latency, m.cpu, m.cpu/base.cpu)
	}
	return w.Flush()
}

func medians(all []figures) figures {
	pick := func(of func(figures) float64) float64 {
		var v []float64
		for _, f := range all {
			v = append(v, of(f))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return figures{pick(func(f figures) float64 { return f.latency }), pick(func(f figures) float64 { return f.cpu })}
}
