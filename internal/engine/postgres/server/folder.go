package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/scratch"
)

// maxSocket is the longest path of a socket on every system, without its closing zero (sockaddr_un on macOS: 104).
const maxSocket = 103

// folder is where the socket and the access rules of a server are.
type folder struct {
	path    string
	hba     string
	pid     string
	scratch *scratch.Dir // nil for a folder that is not ours to remove
	holder  *os.File     // of the scratch, for a server that outlives us; nil for any other, and once the server has it
}

// newFolder makes it. One for a server that outlives us is swept by whoever needs such a folder after its end.
func newFolder(c Config) (*folder, error) {
	f := &folder{path: c.SocketDir}
	var err error
	switch {
	case f.path != "":
		f.path, err = filepath.Abs(f.path)
	case c.LogFile != "":
		f.scratch, f.holder, err = scratch.Lend(shortTemp(c.User))
		if errors.Is(err, errors.ErrUnsupported) {
			f.path, err = os.MkdirTemp(shortTemp(c.User), "backstay-pg-")
		} else if err == nil {
			f.path = f.scratch.Path()
		}
	default:
		if f.scratch, err = scratch.New(shortTemp(c.User)); err == nil {
			f.path = f.scratch.Path()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make a folder for the socket: %w", err)
	}
	if err := f.prepare(c); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *folder) prepare(c Config) error {
	if socket := filepath.Join(f.path, ".s.PGSQL."+c.port()); len(socket) > maxSocket {
		return fmt.Errorf("the path of a socket has at most %d bytes: %s", maxSocket, socket)
	}
	// Beside a socket in somebody else's folder, the name must not meet that of another server's.
	f.hba, f.pid = filepath.Join(f.path, "hba-"+c.port()+".conf"), filepath.Join(f.path, "pid-"+c.port())
	if !c.Own && c.Settings["hba_file"] == "" {
		lines := c.HBA
		if lines == "" {
			lines = "local all all trust\nlocal replication all trust\n"
		}
		if err := os.WriteFile(f.hba, []byte(lines), 0o600); err != nil {
			return fmt.Errorf("write access rules: %w", err)
		}
	}
	if c.SocketDir != "" {
		return c.User.own(f.hba)
	}
	return c.User.Give(f.path)
}

// held closes our end of what holds the folder for the server.
func (f *folder) held() error {
	if f.holder == nil {
		return nil
	}
	err := f.holder.Close()
	f.holder = nil
	return err
}

func (f *folder) close() error {
	if err := f.held(); err != nil {
		return err
	}
	if f.scratch != nil {
		return f.scratch.Close()
	}
	for _, name := range []string{f.hba, f.pid} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// shortTemp is the folder for temporary files, or /tmp where that is too long for a socket or closed to the user.
func shortTemp(u User) string {
	dir, err := filepath.Abs(os.TempDir())
	if err != nil || len(dir) > 50 || u.Reaches(dir) != nil {
		return "/tmp"
	}
	return dir
}
