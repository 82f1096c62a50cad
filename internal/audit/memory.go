package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/ledger"
)

// Seen is what a host remembers of the log: the last checkpoint that it verified.
type Seen struct {
	Volume int         `json:"volume"`
	Seen   ledger.Seen `json:"seen"`
}

// Memory keeps what this host saw last.
type Memory interface {
	Load() (Seen, bool, error)
	Save(Seen) error
}

// SeenFile keeps it in the file path. The folder must exist.
func SeenFile(path string) Memory { return seenFile(path) }

type seenFile string

// Load implements Memory.
func (f seenFile) Load() (seen Seen, ok bool, err error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return Seen{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &seen)
	}
	if err != nil {
		return Seen{}, false, fmt.Errorf("read %s: %w", string(f), err)
	}
	return seen, true, nil
}

// Save implements Memory.
func (f seenFile) Save(seen Seen) error {
	b, err := json.Marshal(seen)
	if err != nil {
		return fmt.Errorf("encode %s: %w", string(f), err)
	}
	return atomicfile.Write(string(f), append(b, '\n'), 0o600)
}

// ofVolume is the part of a Memory that one volume's ledger sees. What is remembered of a later volume is kept: the chain
// from there back to this one is what shows that it is whole.
type ofVolume struct {
	memory Memory
	volume int
}

func (m ofVolume) Load() (ledger.Seen, bool, error) {
	seen, ok, err := m.memory.Load()
	if err != nil || !ok || seen.Volume != m.volume {
		return ledger.Seen{}, false, err
	}
	return seen.Seen, true, nil
}

func (m ofVolume) Save(s ledger.Seen) error {
	seen, ok, err := m.memory.Load()
	if err != nil {
		return err
	}
	if ok && seen.Volume > m.volume {
		return nil
	}
	return m.memory.Save(Seen{Volume: m.volume, Seen: s})
}
