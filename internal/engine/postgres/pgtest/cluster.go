package pgtest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/freeport"
)

// Options say what cluster a test wants; the zero value is one of the default version.
type Options struct {
	Version   int
	Checksums bool              // of pages
	Settings  map[string]string // in postgresql.conf, over those of the package
	Initdb    []string          // further arguments of initdb: "--wal-segsize=1"
	Debian    bool              // its configuration is in a folder of its own, as Debian's packages have it
	Stopped   bool              // New does not start it
	InPlaceOf *Cluster          // one that has ended, at whose address and socket it is reached
}

// The roles of every cluster, with their password. Through the socket nobody is asked for it.
const (
	Admin    = "postgres" // superuser
	Backup   = "backstay" // may only replicate
	Password = "not a secret"
)

// Cluster is one data directory with its server.
type Cluster struct {
	Dir      string
	Config   string // folder of its configuration files: Dir, or another one with Options.Debian
	Version  int
	Programs server.Programs
	Port     int

	user      server.User
	sockets   string
	primary   *Cluster // of a standby
	server    *server.Server
	overrides map[string]string
}

// settings of every cluster. They are those of a small server that is backed up, not of a fast one.
var settings = map[string]string{
	"fsync":                  "off",
	"shared_buffers":         "32MB",
	"max_connections":        "60",
	"wal_level":              "replica",
	"max_wal_senders":        "10",
	"max_replication_slots":  "10",
	"track_commit_timestamp": "on",
	"password_encryption":    "scram-sha-256",
	"log_timezone":           "UTC",
	"timezone":               "UTC",
	"lc_messages":            "C",
}

const hba = `local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
`

// New makes a cluster and starts it. It is stopped and removed when the test is over.
func New(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Version == 0 {
		o.Version = Default
	}
	c := &Cluster{Version: o.Version, Programs: Programs(t, o.Version), Dir: Folder(t), user: Owner(t), Port: freeport.Port(t)}
	c.sockets = Folder(t)
	if o.InPlaceOf != nil {
		c.Port, c.sockets = o.InPlaceOf.Port, o.InPlaceOf.sockets
	}
	c.initdb(t, o)
	if o.Stopped {
		t.Cleanup(func() { c.end(t) })
		return c
	}
	c.Start(t)
	c.Exec(t, fmt.Sprintf("create role %s login replication password '%s'", Backup, Password))
	return c
}

func (c *Cluster) initdb(t testing.TB, o Options) {
	t.Helper()
	pw := filepath.Join(Place(t), "pw")
	if err := os.WriteFile(pw, []byte(Password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	arguments := []string{"-D", c.Dir, "-U", Admin, "-N", "-E", "UTF8", "--locale=C", "-A", "scram-sha-256", "--pwfile=" + pw}
	if o.Checksums {
		arguments = append(arguments, "--data-checksums")
	} else if o.Version >= 18 {
		arguments = append(arguments, "--no-data-checksums")
	}
	c.Run(t, "initdb", append(arguments, o.Initdb...)...)
	c.configure(t, o)
}

// configure writes the configuration files where they belong.
func (c *Cluster) configure(t testing.TB, o Options) {
	t.Helper()
	c.Config = c.Dir
	all := maps.Clone(settings)
	if o.Debian {
		c.Config = Folder(t)
		for _, name := range []string{"postgresql.conf", "pg_hba.conf", "pg_ident.conf"} {
			c.move(t, filepath.Join(c.Dir, name), filepath.Join(c.Config, name))
		}
		all["data_directory"] = c.Dir
		all["hba_file"] = filepath.Join(c.Config, "pg_hba.conf")
		all["ident_file"] = filepath.Join(c.Config, "pg_ident.conf")
		c.overrides = map[string]string{"config_file": filepath.Join(c.Config, "postgresql.conf"), "hba_file": all["hba_file"]}
	}
	maps.Copy(all, o.Settings)
	c.Set(t, all)
	c.HBA(t, hba)
}

func (c *Cluster) move(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err == nil {
		err = c.user.Give(to)
	}
	if err == nil {
		err = os.Remove(from)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Set adds settings to postgresql.conf. They count from the next start or reload on.
func (c *Cluster) Set(t testing.TB, settings map[string]string) {
	t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	f, err := os.OpenFile(filepath.Join(c.Config, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(b.String())
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// HBA replaces the access rules. They count from the next start or reload on.
func (c *Cluster) HBA(t testing.TB, lines string) {
	t.Helper()
	name := filepath.Join(c.Config, "pg_hba.conf")
	if err := os.WriteFile(name, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.user.Give(name); err != nil {
		t.Fatal(err)
	}
}

// Run runs one of the programs as the servers' user and gives its output; the test fails if it fails.
func (c *Cluster) Run(t testing.TB, program string, arguments ...string) string {
	t.Helper()
	out, err := c.Programs.Command(c.user, program, arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(arguments, " "), err, out)
	}
	return string(out)
}
