package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
)

// kept is what an agent knows across its own end, in a file that is durable before anything that rests on it is done.
type kept struct {
	Promised uint64           `json:"promised"`          // nothing of lower epochs is carried out
	Led      uint64           `json:"led,omitempty"`     // epoch that the server was last made primary under; zero: never, by an agent
	Rising   bool             `json:"rising,omitempty"`  // it was told to become that, and was neither seen as one nor stopped since: it may become one any moment
	Counting cluster.Quorum   `json:"counting,omitzero"` // that the server was last told
	Told     bool             `json:"told,omitempty"`    // and it counts it for certain
	Switched history.Position `json:"switched,omitzero"` // its position right after it began to
	Whole    history.Position `json:"whole,omitzero"`    // its log is not whole before it comes here; zero: it is
}

// load reads the file. It reports lost where there is none, or none that can be read: what was promised is then unknown.
func load(path string) (k kept, lost bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return kept{}, true, nil
	}
	if err != nil {
		return kept{}, false, fmt.Errorf("read the oath: %w", err)
	}
	if err := json.Unmarshal(b, &k); err != nil {
		return kept{}, true, nil
	}
	return k, false, nil
}

// save makes k durable.
func save(path string, k kept) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(path, b, 0o600); err != nil {
		return fmt.Errorf("keep the oath: %w", err)
	}
	return nil
}

// keep changes what is kept, on the disk first. Writers are few and one at a time (a.writing); readers see it only when it is durable.
func (a *Agent) keep(change func(*kept)) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	a.mu.Lock()
	next := a.kept
	a.mu.Unlock()
	change(&next)
	if err := save(a.path, next); err != nil {
		return err
	}
	a.mu.Lock()
	a.kept = next
	a.mu.Unlock()
	return nil
}
