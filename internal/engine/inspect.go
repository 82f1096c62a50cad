package engine

import "context"

// Inspector is implemented by Lookers that can say whether a server is fit to be a member of a cluster that Backstay manages.
type Inspector interface {
	// Inspect asks once and changes nothing.
	Inspect(ctx context.Context, n Needs) (Inspection, error)
}

// Needs is what a cluster wants of each of its servers.
type Needs struct {
	Members int  // of the cluster
	Manages bool // Backstay promotes; else clients are only led there
	Agent   bool // an agent on the server's host acts on it
}

// Inspection is what was found.
type Inspection struct {
	SystemID  string
	Major     int
	Primary   bool
	Timeline  uint32
	Checksums bool     // an old primary can be rewound
	Owners    []string // clusters whose agents or keepers are at work there, the first 30 bytes of their names
	Missing   []string // rights and settings, each the SQL that gives it, to be run on the primary by a superuser
	Restart   bool     // some of them need a restart of the server
	Wishes    []string // SQL for what works without, and better with
}
