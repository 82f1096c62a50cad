package repository_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// TestNotesAreForReaders seals a note on a host that cannot read, and opens it with a reader's key, after a change of keys too.
func TestNotesAreForReaders(t *testing.T) {
	w := newWorld(t, mem.New())
	note := []byte("public.salaries has 12 rows")
	sealed, err := w.repo.SealNote(note)
	if err != nil || bytes.Contains(sealed, note[:10]) {
		t.Fatalf("%q, %v", sealed, err)
	}
	if err := w.repo.PutReport(t.Context(), "1-fingerprint", sealed); err != nil {
		t.Fatal(err)
	}
	var none *repository.NoKeyError
	if _, err := w.repo.OpenNote(sealed); !errors.As(err, &none) {
		t.Errorf("without a key: %v", err)
	}
	r := w.open(t, nil)
	read, err := r.Report(t.Context(), "1-fingerprint")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.OpenNote(read); err != nil || !bytes.Equal(got, note) {
		t.Errorf("%q, %v", got, err)
	}
	for _, broken := range [][]byte{nil, note, sealed[:len(sealed)-1], append(bytes.Clone(sealed), 0)} {
		if got, err := r.OpenNote(broken); err == nil {
			t.Errorf("opened %q", got)
		}
	}
}
