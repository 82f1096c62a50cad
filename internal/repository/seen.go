package repository

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/ledger"
)

// SeenFile keeps the last checkpoint that this host saw in the file path. The folder must exist.
func SeenFile(path string) Seen { return seenFile(path) }

type seenFile string

// Load reads the file; ok is false if there is none.
func (f seenFile) Load() (seen ledger.Seen, ok bool, err error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return seen, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &seen)
	}
	if err != nil {
		return ledger.Seen{}, false, fmt.Errorf("read %s: %w", string(f), err)
	}
	return seen, true, nil
}

// Save replaces the file.
func (f seenFile) Save(seen ledger.Seen) error {
	b, err := json.Marshal(seen)
	if err != nil {
		return fmt.Errorf("encode %s: %w", string(f), err)
	}
	return atomicfile.Write(string(f), append(b, '\n'), 0o600)
}
