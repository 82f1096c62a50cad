package main

import (
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/test/bench/measure"
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
	fs.Func("size", "of the database: 64MB, 2GB (default "+measure.Size(o.size)+")", func(s string) (err error) {
		o.size, err = measure.ParseSize(s)
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
