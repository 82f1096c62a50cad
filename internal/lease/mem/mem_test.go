package mem

import (
	"testing"

	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/lease/leasetest"
)

// shared is another host's handle: closing it closes nothing for the others.
type shared struct{ *Store }

func (shared) Close() error { return nil }

func TestSuite(t *testing.T) {
	s := New()
	if err := leasetest.Check(t.Context(), func() (lease.Store, error) { return shared{s}, nil }); err != nil {
		t.Fatal(err)
	}
}

func TestCloseEndsWatches(t *testing.T) {
	s := New()
	ended := make(chan error)
	go func() { ended <- s.Watch(t.Context(), "k", 0, func(lease.Entry) {}) }()
	s.Close()
	if err := <-ended; err == nil {
		t.Error("the watch ended without a reason")
	}
}
