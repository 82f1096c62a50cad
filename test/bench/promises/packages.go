package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// goal is one figure that a package's own benchmark reports, and what it is to reach.
type goal struct {
	what      string
	benchmark string // with the package's prefix left out: "Status"
	unit      string // as go test prints it: "ns/op", "objects/s"
	show      func(float64) string
	goal      string
}

func milliseconds(ns float64) string { return fmt.Sprintf("%.3g ms", ns/1e6) }
func plain(x float64) string         { return fmt.Sprintf("%.0f", x) }

func runCatalog(ctx context.Context, _ []string) error {
	return runPackage(ctx, "./internal/catalog", []goal{
		{"status: a million segments, 201 holdings, 100,000 runs", "Status", "ns/op", milliseconds, "< 300 ms"},
		{"rebuild from a folder, objects a second", "Rebuild", "objects/s", plain, ">= 20,000"},
	})
}

func runSchedule(ctx context.Context, _ []string) error {
	return runPackage(ctx, "./internal/schedule", []goal{
		{"2,000 jobs due at one moment: until the last begins", "Burst", "ns/op", milliseconds, "< 1,000 ms"},
		{"a plan of 6,000 jobs", "Due", "ns/op", milliseconds, "-"},
		{"a day of 52,000 runs, % of a core", "Day", "%core", func(x float64) string { return fmt.Sprintf("%.3g", x) }, "-"},
	})
}

// runPackage runs benchmarks where they are written, and prints what they say beside what they are to reach.
func runPackage(ctx context.Context, pkg string, goals []goal) error {
	var names []string
	for _, g := range goals {
		names = append(names, g.benchmark)
	}
	cmd := exec.CommandContext(ctx, "go", "test", pkg, "-run", "^$", "-bench", "^Benchmark("+strings.Join(names, "|")+")$", "-benchtime", "3x", "-timeout", "1h")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	t := measure.NewTable("what", "measured", "goal")
	for _, g := range goals {
		v, err := figure(out, g)
		if err != nil {
			return err
		}
		t.Add(g.what, g.show(v), g.goal)
	}
	return t.Print(os.Stdout)
}

// figure finds the value of a goal in what go test printed.
func figure(out []byte, g goal) (float64, error) {
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) == 0 || strings.SplitN(f[0], "-", 2)[0] != "Benchmark"+g.benchmark {
			continue
		}
		for i := 1; i < len(f); i++ {
			if f[i] == g.unit {
				return strconv.ParseFloat(f[i-1], 64)
			}
		}
	}
	return 0, fmt.Errorf("benchmark %s printed no %s:\n%s", g.benchmark, g.unit, out)
}
