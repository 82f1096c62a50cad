package main

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const minute = time.Minute

// options are the flags. Each benchmark has its own defaults, those of the long form.
type options struct {
	dir       string
	size      int64         // of the database, bytes
	rate      float64       // commits a second
	duration  time.Duration // of each measurement
	commits   int64         // in all
	rounds    int
	only      string
	versitygw string
	vacuum    string
	backstay  string
}

func (o *options) register(fs *flag.FlagSet) {
	fs.StringVar(&o.dir, "dir", "", "folder for all data; made, and what is put there is removed at the end (default: a temporary one)")
	fs.Func("size", "of the database: 64MB, 2GB (default "+formatBytes(o.size)+")", func(s string) (err error) {
		o.size, err = parseBytes(s)
		return err
	})
	fs.Float64Var(&o.rate, "rate", o.rate, "commits a second of the writer")
	fs.DurationVar(&o.duration, "duration", o.duration, "of each measurement, where the work itself does not end it")
	fs.Int64Var(&o.commits, "commits", o.commits, "that make the log to restore")
	fs.IntVar(&o.rounds, "rounds", o.rounds, "how often each system has its turn")
	fs.StringVar(&o.only, "only", "", "run one system or store alone: a part of its name")
	fs.StringVar(&o.versitygw, "versitygw", "", "the S3 server (default: .cache/bin/versitygw of the repository, then PATH)")
	fs.StringVar(&o.backstay, "backstay", "", "measure this program (default: built from the repository)")
	fs.StringVar(&o.vacuum, "vacuum", "", "the sqlite3 program for VACUUM INTO (default: sqlite3 on PATH)")
}

func (o *options) validate(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unknown argument %q", rest[0])
	case o.rounds < 1 || o.rate < 0 || o.size <= 0 || o.commits < 0 || o.duration < 0:
		return fmt.Errorf("sizes, rates, rounds and times must be above zero")
	}
	return nil
}

// wants reports whether the system or store of this name has a turn.
func (o *options) wants(name string) bool {
	return strings.Contains(strings.ToLower(name), strings.ToLower(o.only))
}

var units = []struct {
	name  string
	bytes int64
}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}}

func parseBytes(s string) (int64, error) {
	for _, u := range units {
		if n, ok := strings.CutSuffix(strings.ToUpper(s), u.name); ok {
			f, err := strconv.ParseFloat(n, 64)
			return int64(f * float64(u.bytes)), err
		}
	}
	return strconv.ParseInt(s, 10, 64)
}

// formatBytes prints three digits: "1.95 GB", and "-" for what was not measured. The units are powers of 1024.
func formatBytes(n int64) string {
	if n == 0 {
		return "-"
	}
	for _, u := range units {
		if n >= u.bytes {
			return fmt.Sprintf("%.3g %s", float64(n)/float64(u.bytes), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
