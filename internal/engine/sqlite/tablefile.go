package sqlite

import (
	"encoding/binary"
	"os"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

const (
	tableName  = "pages"
	tableSmall = 1 << 16 // pages up to which the table is kept after every change
	tableLarge = 1 << 21 // and up to which it is kept when Follow ends: 16 MB
)

// keepTable writes the table beside the bookmark if it has at most limit pages, so that a restart finds what was changed
// meanwhile. Without it the restart costs a new base, so a failure to write it is no error.
func (s *Source) keepTable(limit int) {
	if s.options.StateDir == "" || len(s.table) > limit {
		return
	}
	b := make([]byte, 0, 8*len(s.table))
	for _, sum := range s.table {
		b = binary.BigEndian.AppendUint64(b, sum)
	}
	if err := os.MkdirAll(s.options.StateDir, 0o700); err != nil {
		s.fault(err)
		return
	}
	s.fault(atomicfile.Write(filepath.Join(s.options.StateDir, tableName), b, 0o600))
}

// keptTable returns the table that was kept if it is that of h.
func (s *Source) keptTable(h head) table {
	b, err := os.ReadFile(filepath.Join(s.options.StateDir, tableName))
	if s.options.StateDir == "" || err != nil || len(b) != 8*int(h.pages) {
		return nil
	}
	t := make(table, h.pages)
	for i := range t {
		t[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	if t.sum() != h.sum {
		return nil
	}
	return t
}
