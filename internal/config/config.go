// Package config reads backstay.yaml, the one file that says what is protected and where the history of it goes, and
// adds to it on behalf of `backstay protect`.
//
// It promises that a file which loads means what it says: unknown keys, duplicate keys, values of the wrong kind and
// references to what is not there are refused with line, column, an excerpt and the nearest valid name. It refuses
// passwords and other secrets, so the file may be shown, kept in version control and mailed. Edits touch only the
// lines they add or remove; comments and layout of all else stay byte for byte.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Name is the file that commands look for in the current folder.
const Name = "backstay.yaml"

// Config is one backstay.yaml.
type Config struct {
	Path   string `yaml:"-" json:"-"` // of the file; relative stores and sqlite URLs are relative to its folder
	Digest string `yaml:"-" json:"-"` // SHA-256 of the file as it was read, in hex; "" if it was not

	Elsewhere map[string]Source `yaml:"-" json:"-"` // of the file, which other hosts capture; see On

	Repositories map[string]Repository `yaml:"repositories" json:"repositories" doc:"where history is kept, by name"`
	Classes      map[string]Class      `yaml:"classes,omitempty" json:"classes,omitempty" doc:"promises that sources share, by name"`
	Sources      map[string]Source     `yaml:"sources" json:"sources" doc:"what is protected, by name"`
	Recipients   map[string]string     `yaml:"recipients,omitempty" json:"recipients,omitempty" doc:"who can read what new repositories hold: a name and an age recipient (age1...) each; without any, backstay.key is made beside this file"`
	Clusters     map[string]Cluster    `yaml:"clusters,omitempty" json:"clusters,omitempty" doc:"servers of which one is primary, and the address at which it is reached, by name"`
	Coordination *Coordination         `yaml:"coordination,omitempty" json:"coordination,omitempty" doc:"where the hosts of clusters keep who is primary; one host decides alone if not given"`
	Hosts        map[string]Machine    `yaml:"hosts,omitempty" json:"hosts,omitempty" doc:"how the hosts that run this file reach each other, by name; by the name itself if not given"`
	Notify       []Receiver            `yaml:"notify,omitempty" json:"notify,omitempty" doc:"who is told what changed"`
	Metrics      *Metrics              `yaml:"metrics,omitempty" json:"metrics,omitempty" doc:"where Prometheus reads; nowhere if not given"`
	Trace        *Trace                `yaml:"trace,omitempty" json:"trace,omitempty" doc:"where traces of backups, restores and drills go; what OTEL_EXPORTER_OTLP_ENDPOINT says if not given"`
	Environment  string                `yaml:"environment,omitempty" json:"environment,omitempty" doc:"of this host, as in production; it stands in the audit log and in notices"`
}

// Repository is a place for sealed history.
type Repository struct {
	Store string `yaml:"store" json:"store" doc:"a folder (./repo) or a bucket (s3://bucket/prefix?endpoint=...)" required:"true"`
	Limit Limit  `yaml:"limit,omitempty" json:"limit,omitzero" doc:"how much of the line to it is used"`
	Lock  Span   `yaml:"object_lock,omitempty" json:"object_lock,omitempty" doc:"nobody can delete what is put there for so long, as in 30d: a bucket with object lock only; without it anybody can who may delete there"`
}

// Limit bounds what is done with a repository.
type Limit struct {
	Rate Size `yaml:"rate,omitempty" json:"rate,omitempty" doc:"in a second, each way, as in 50MiB; for the daemon and backup, so that bases, copies, checks and drills leave room for others. Small pieces of log go first, and a restore that a person asks for is not bounded"`
}

// Source is one protected thing.
type Source struct {
	Promise `yaml:",inline"`

	URL         string      `yaml:"url" json:"url" doc:"what is protected: sqlite:./app.db, postgres://backstay@db1, or cluster:NAME, a cluster of this file, whichever member is primary" required:"true"`
	Host        string      `yaml:"host,omitempty" json:"host,omitempty" doc:"name of the host that captures it: the one that says run --host of it; each that runs this file if not given"`
	Class       string      `yaml:"class,omitempty" json:"class,omitempty" doc:"name of the class whose promises hold where the source states none of its own"`
	Owner       string      `yaml:"owner,omitempty" json:"owner,omitempty" doc:"who is responsible; it stands in notices and reports"`
	After       []string    `yaml:"after,omitempty" json:"after,omitempty" doc:"names of sources whose bases are taken first"`
	Hold        []Hold      `yaml:"hold,omitempty" json:"hold,omitempty" doc:"nothing of it is forgotten for a time, whatever the rules say"`
	Exceptions  []Exception `yaml:"exceptions,omitempty" json:"exceptions,omitempty" doc:"findings that are silent for a time"`
	Ack         Ack         `yaml:"ack,omitempty" json:"ack,omitempty" doc:"when the source may forget a piece of log: once it is synced in the spool (the default) or once durable_in repositories have it, too" enum:"spool,repository"`
	HeldLimit   Size        `yaml:"held_limit,omitempty" json:"held_limit,omitempty" doc:"how much log a server may keep for Backstay while the spool is full, as in 16GiB (the default); beyond it the slot is dropped, and a new base is taken when there is room"`
	SpoolLimit  Size        `yaml:"spool_limit,omitempty" json:"spool_limit,omitempty" doc:"how much log may wait on this host for repositories, as in 10GiB (the default)"`
	SegmentSize Size        `yaml:"segment_size,omitempty" json:"segment_size,omitempty" doc:"how much log makes a full segment, as in 64MiB (the default); one is cut every hour in any case"`
}

// Ack says where a piece of log must be durable before the source may forget it.
type Ack string

// The places.
const (
	AckSpool      Ack = "spool" // the default: it survives a crash of this host, not its loss
	AckRepository Ack = "repository"
)

// DefaultSpoolLimit is used where a source names none.
const DefaultSpoolLimit Size = 10 << 30

// Limit is SpoolLimit or its default, in bytes.
func (s Source) Limit() int64 {
	if s.SpoolLimit == 0 {
		return int64(DefaultSpoolLimit)
	}
	return int64(s.SpoolLimit)
}

// DefaultHeldLimit is used where a source names none.
const DefaultHeldLimit Size = 16 << 30

// MostHeld is HeldLimit or its default, in bytes.
func (s Source) MostHeld() int64 {
	if s.HeldLimit == 0 {
		return int64(DefaultHeldLimit)
	}
	return int64(s.HeldLimit)
}

// Load reads and validates the file at path. A missing file is fs.ErrNotExist; everything wrong in it is *Error.
func Load(path string) (*Config, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", path, err)
	}
	data, err := os.ReadFile(abs)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(filepath.Base(abs), data)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	c.Path, c.Digest = abs, hex.EncodeToString(sum[:])
	return c, nil
}

// Dir is the folder of the file; the state of this host lies beside the file.
func (c *Config) Dir() string { return filepath.Dir(c.Path) }

// StateDir is the folder that keeps the state of this host.
func (c *Config) StateDir() string { return filepath.Join(c.Dir(), ".backstay") }

// KeyFile is where the key of this file's repositories lies unless it was moved away.
func (c *Config) KeyFile() string { return filepath.Join(c.Dir(), "backstay.key") }

// SourceNames lists the sources in order.
func (c *Config) SourceNames() []string { return sorted(c.Sources) }

// RepositoryNames lists the repositories in order.
func (c *Config) RepositoryNames() []string { return sorted(c.Repositories) }

// ClusterNames lists the clusters in order.
func (c *Config) ClusterNames() []string { return sorted(c.Clusters) }

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
