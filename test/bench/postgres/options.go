package main

import (
	"flag"
	"fmt"
	"strings"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// options are the flags. Each benchmark has its own defaults, those of the long form.
type options struct {
	dir      string
	keep     string
	scale    int   // of pgbench
	rows     int   // of the table beside it
	log      int64 // to replay, bytes
	rounds   int
	seconds  int // of each measurement, where the work itself does not end it
	clients  int // of pgbench
	cache    string
	only     string
	backstay string
}

func (o *options) register(fs *flag.FlagSet) {
	fs.StringVar(&o.dir, "dir", "/var/tmp", "folder for all data; what is put there is removed at the end")
	fs.StringVar(&o.keep, "keep", "", "folder in which the filled data directory is kept from run to run (default: it is filled each time)")
	fs.IntVar(&o.scale, "scale", o.scale, "of pgbench: 15 MB each")
	fs.IntVar(&o.rows, "rows", o.rows, "of the table with uuid, numeric, text and jsonb: 280 bytes each")
	fs.Func("log", "to replay: 256MB, 4GB (default "+measure.Size(o.log)+")", func(s string) (err error) {
		o.log, err = measure.ParseSize(s)
		return err
	})
	fs.IntVar(&o.rounds, "rounds", o.rounds, "how often each system has its turn")
	fs.IntVar(&o.seconds, "seconds", o.seconds, "of each measurement, where the work itself does not end it")
	fs.IntVar(&o.clients, "clients", o.clients, "of pgbench")
	fs.StringVar(&o.cache, "cache", o.cache, "page cache before each turn: warm, cold, both")
	fs.StringVar(&o.only, "only", "", "run one system alone: a part of its name")
	fs.StringVar(&o.backstay, "backstay", "", "measure this program (default: built from the repository)")
}

func (o *options) validate(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unknown argument %q", rest[0])
	case o.rounds < 1 || o.scale < 1 || o.rows < 0 || o.log < 0 || o.seconds < 0 || o.clients < 0:
		return fmt.Errorf("sizes, rounds and times must be above zero")
	case o.cache != "" && o.cache != "warm" && o.cache != "cold" && o.cache != "both":
		return fmt.Errorf("-cache is warm, cold or both")
	}
	return nil
}

// caches are the states of the page cache to measure with.
func (o *options) caches() []string {
	if o.cache == "both" {
		return []string{"warm", "cold"}
	}
	return []string{o.cache}
}

// wants reports whether the system of this name has a turn.
func (o *options) wants(name string) bool {
	return strings.Contains(strings.ToLower(name), strings.ToLower(o.only))
}
