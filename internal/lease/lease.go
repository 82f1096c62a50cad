// Package lease is the contract with what coordinates hosts: small named documents, changed by compare-and-swap.
//
// Nothing that is safe rests on a time-out of the coordination. Who may act is written in the documents and fenced by their epochs (package
// cluster); leadership is a hint that saves work. etcd's own leases are not used: they are refreshed when etcd's leader changes.
package lease

import (
	"context"
	"errors"
)

// Entry is one version of a document.
type Entry struct {
	Value    []byte
	Revision uint64 // grows with every change of the document; zero: there is none
}

// ErrStale means that the document was changed since the revision that Swap was given. Nothing was written.
var ErrStale = errors.New("the document was changed meanwhile")

// Store keeps the documents. All methods may be called from several goroutines.
type Store interface {
	// Get reads the newest version: linearizable, never from a replica that may be behind. A document that does not exist is the zero Entry.
	Get(ctx context.Context, key string) (Entry, error)

	// Swap writes value if the document is still at revision from (zero: does not exist yet), durably on a majority before it
	// returns. Else it returns ErrStale. After any other error the write may have happened or may happen yet: the caller reads again.
	Swap(ctx context.Context, key string, from uint64, value []byte) (Entry, error)

	// Watch calls tell with each version newer than from, in order, perhaps leaving out versions that were replaced meanwhile,
	// until ctx ends or the connection is lost. It returns why it ended; tell runs on the caller's goroutine.
	Watch(ctx context.Context, key string, from uint64, tell func(Entry)) error

	// Leads hints whether this host should be the one that acts. Two may be told so, or none, for a while.
	Leads(ctx context.Context) (bool, error)

	Close() error
}
