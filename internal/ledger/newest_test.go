package ledger_test

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// TestNewestReadsNoLeaves takes the bundles away: what was signed last is told all the same, forged ones apart.
func TestNewestReadsNoLeaves(t *testing.T) {
	s := mem.New()
	l, verifiers, c := newLog(t, s)
	if _, err := openLog(t, mem.New(), nil, verifiers, c.now).Newest(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
	head := addLeaves(t, l, 0, 300)
	if err := s.Delete(t.Context(), "app/ledger/bundle/000000"); err != nil {
		t.Fatal(err)
	}
	forged := []byte("backstay/v0 app\n0\n\n")
	if err := s.Put(t.Context(), "app/ledger/checkpoint/000000999999", bytes.NewReader(forged), int64(len(forged))); err != nil {
		t.Fatal(err)
	}
	got, err := openLog(t, s, nil, verifiers, c.now).Newest(t.Context())
	if err != nil || got.Seen() != head.Seen() {
		t.Errorf("newest is %+v, %v; want %+v", got.Seen(), err, head.Seen())
	}
	_ = s.List(t.Context(), "app/ledger/checkpoint/", func(o store.Object) error {
		if o.Name != "app/ledger/checkpoint/000000999999" {
			_ = s.Delete(t.Context(), o.Name)
		}
		return nil
	})
	var untrusted *ledger.UntrustedError
	if _, err := openLog(t, s, nil, verifiers, c.now).Newest(t.Context()); !errors.As(err, &untrusted) {
		t.Errorf("only a forged one: %v", err)
	}
}
