package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

// peekTries bounds how often Peek looks again because journals came and went meanwhile.
const peekTries = 5

// Peek opens the spool in dir for reading, beside a process that writes it or after one that died: it takes no lock and
// changes nothing. What it gives is what stood there when it was opened; a batch that was being written is left out. It
// fails with fs.ErrNotExist if there is no spool, and with a *CorruptError for damage. The caller only reads
// it, and closes it.
func Peek(dir string) (*Spool, error) {
	for try := 1; ; try++ {
		before, err := listJournals(dir)
		if err != nil {
			return nil, fmt.Errorf("read spool: %w", err)
		}
		s := &Spool{dir: dir, syncDir: atomicfile.SyncDir, readOnly: true}
		err = s.load()
		if err == nil {
			s.closed = true
			return s, nil
		}
		err = errors.Join(fmt.Errorf("read spool: %w", err), s.closeFiles())
		// The writer deletes journals that every repository has; what such a journal is missed for is not damage.
		after, listErr := listJournals(dir)
		if listErr != nil || try == peekTries || slices.Equal(before, after) && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}
