//go:build linux

// Command pack compares the repository's packer with what a person would type: `tar | zstd -1 -T2 | age` to store
// database-like files, and `age -d | zstd -d | tar x` to have them back.
//
// Both sides run as processes of their own, alternating, with the files evicted from the page cache before each run,
// and once more the time until all is on the disk is measured. Medians and ratios are printed: processor time, wall
// time, stored size and peak memory.
//
//	go run ./test/bench/pack -size 4G -runs 3
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	size := flag.String("size", "4G", "bytes of database files")
	runs := flag.Int("runs", 3, "runs of each side")
	dir := flag.String("dir", os.TempDir(), "where to work; the folder made in it is removed afterwards")
	pages := flag.Bool("warm", false, "leave the files in the page cache between runs")
	child := flag.String("child", "", "one step alone, in -dir, for the program itself and for profiles: generate, store or restore")
	flag.Parse()
	var err error
	if *child != "" {
		err = runChild(*child, *dir)
	} else {
		err = compare(*size, *runs, *dir, *pages)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// side is one way to store and restore.
type side struct {
	name           string
	store, restore func(dir string) (usage, error)
	stored         func(dir string) (int64, error)
	in, out        []usage
}

func compare(size string, runs int, parent string, warm bool) error {
	bytes, err := parseSize(size)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, "pack-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("generating %s of database-like files in %s\n", size, dir)
	if err := generate(filepath.Join(dir, "src"), bytes); err != nil {
		return err
	}
	if err := writeKey(dir); err != nil {
		return err
	}
	sides := []*side{
		{name: "tar|zstd|age", store: peerStore, restore: peerRestore, stored: peerSize},
		{name: "backstay", store: ourStore, restore: ourRestore, stored: ourSize},
	}
	for run := range runs {
		for _, s := range sides {
			if err := s.run(dir, warm); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			fmt.Printf("run %d  %-13s store %s   restore %s\n", run+1, s.name, s.in[run], s.out[run])
		}
	}
	return report(sides, dir, bytes)
}

// run stores and restores once and checks that what came back is what went in.
func (s *side) run(dir string, warm bool) error {
	for _, name := range []string{"out", "repo"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	steps := []struct {
		work func(string) (usage, error)
		into *[]usage
	}{{s.store, &s.in}, {s.restore, &s.out}}
	for _, step := range steps {
		if err := settle(dir, warm); err != nil {
			return err
		}
		u, err := step.work(dir)
		if err != nil {
			return err
		}
		*step.into = append(*step.into, u)
	}
	return sameTree(filepath.Join(dir, "src"), filepath.Join(dir, "out"))
}

func report(sides []*side, dir string, bytes int64) error {
	var sizes []int64
	for _, s := range sides {
		if _, err := s.again(dir); err != nil {
			return err
		}
		n, err := s.stored(dir)
		if err != nil {
			return err
		}
		sizes = append(sizes, n)
	}
	peer, ours := sides[0], sides[1]
	fmt.Printf("\n%-28s %12s %12s %8s %8s\n", "median", peer.name, ours.name, "ratio", "goal")
	row := func(what string, a, b float64, goal string) {
		fmt.Printf("%-28s %12.2f %12.2f %8.2f %8s\n", what, a, b, b/a, goal)
	}
	row("store: cpu s", median(peer.in, usage.cpu), median(ours.in, usage.cpu), "<= 1.0")
	row("store: wall s", median(peer.in, usage.wall), median(ours.in, usage.wall), "<= 0.8")
	row("store: wall s, on disk", median(peer.in, usage.durable), median(ours.in, usage.durable), "")
	row("store: size MB", float64(sizes[0])/1e6, float64(sizes[1])/1e6, "<= 1.05")
	row("restore: cpu s", median(peer.out, usage.cpu), median(ours.out, usage.cpu), "")
	row("restore: wall s", median(peer.out, usage.wall), median(ours.out, usage.wall), "<= 0.7")
	row("restore: wall s, on disk", median(peer.out, usage.durable), median(ours.out, usage.durable), "")
	fmt.Printf("%-28s %12s %12.0f %8s %8s\n", "peak memory MB", "", max(slices.Max(each(ours.in, usage.memory)), slices.Max(each(ours.out, usage.memory))), "", "<= 200")
	fmt.Printf("compression %.2f x\n", float64(bytes)/float64(sizes[1]))
	return nil
}

// again stores once more, so that the size can be looked at.
func (s *side) again(dir string) (usage, error) {
	repo := filepath.Join(dir, "repo")
	if err := os.RemoveAll(repo); err != nil {
		return usage{}, err
	}
	if err := os.Mkdir(repo, 0o700); err != nil {
		return usage{}, err
	}
	return s.store(dir)
}

func each(us []usage, f func(usage) float64) []float64 {
	out := make([]float64, len(us))
	for i, u := range us {
		out[i] = f(u)
	}
	return out
}

func median(us []usage, f func(usage) float64) float64 {
	v := each(us, f)
	slices.Sort(v)
	return v[len(v)/2]
}

func parseSize(s string) (int64, error) {
	unit := int64(1)
	for i, suffix := range []string{"K", "M", "G"} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = rest, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("size %q: want a number with K, M or G", s)
	}
	return n * unit, nil
}
