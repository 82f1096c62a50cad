package member

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

// put makes a file of the data directory, or replaces it, durably. It belongs to the server's user before it has its name: a server that
// finds a file which it may not read gives up.
func (s *Server) put(path string, data []byte) error {
	temp, err := s.fill(filepath.Dir(path), data)
	if err == nil {
		if err = os.Rename(temp, path); err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

func (s *Server) fill(dir string, data []byte) (name string, err error) {
	f, err := os.CreateTemp(dir, ".backstay-*.tmp")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", err
	}
	return f.Name(), s.user.Give(f.Name())
}
