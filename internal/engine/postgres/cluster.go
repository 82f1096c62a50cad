package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/engine"
)

// clusterFile keeps the system identifier of the cluster that is protected, in the source's folder. Bookmarks name it
// too, but a base has none, and an older log may be followed from its position alone.
const clusterFile = "cluster"

// sameCluster sees that the cluster behind the URL, of this system identifier, is the one that is protected, and notes
// it where none is yet. Two clusters must never share a history: their positions mean different things.
func (s *Source) sameCluster(system string) error {
	known, err := s.knownCluster()
	switch {
	case err != nil:
		return err
	case known != "" && known != system:
		return anotherCluster(system, known)
	case system != s.system:
		return anotherCluster(system, s.system)
	case known != "" || s.options.StateDir == "":
		return nil
	}
	if err := atomicfile.Write(filepath.Join(s.options.StateDir, clusterFile), []byte(system+"\n"), 0o600); err != nil {
		return fmt.Errorf("note which cluster is protected: %w", err)
	}
	return nil
}

func anotherCluster(system, known string) error {
	return engine.WithHint("pg_upgrade and initdb make new clusters: if this is right, protect it under a name of its own (protect --name), and the repository keeps the old one's history; if not, see where the URL leads",
		"another cluster stands behind the URL: its system identifier is %s, that of what is protected is %s", system, known)
}

// knownCluster is the system identifier that was noted, "" if none was.
func (s *Source) knownCluster() (string, error) {
	if s.options.StateDir == "" {
		return "", nil
	}
	b, err := os.ReadFile(filepath.Join(s.options.StateDir, clusterFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read which cluster is protected: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
