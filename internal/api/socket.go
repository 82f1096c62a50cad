package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

const (
	socketName  = "control.sock"
	pointerName = "control.path"
	// longest is the longest path that every system takes for a socket: macOS has room for 103 bytes, Linux for 107.
	longest = 100
)

// listener is the socket and what has to be removed with it.
type listener struct {
	net.Listener
	remove []string
}

// listen opens the socket in dir for the owner only. Whoever calls it holds the lock of dir, so a socket that is
// already there was left by a daemon that died. Where the path is too long for a socket, it lies in a temporary
// folder and a small file in dir says where.
func listen(dir string) (*listener, error) {
	path := filepath.Join(dir, socketName)
	l := &listener{remove: []string{path}}
	if err := clean(dir); err != nil {
		return nil, err
	}
	if len(path) > longest {
		short, err := os.MkdirTemp("", "backstay-")
		if err != nil {
			return nil, fmt.Errorf("open control socket: %w", err)
		}
		path = filepath.Join(short, socketName)
		pointer := filepath.Join(dir, pointerName)
		l.remove = []string{path, short, pointer}
		if err := atomicfile.Write(pointer, []byte(path+"\n"), 0o600); err != nil {
			l.sweep()
			return nil, fmt.Errorf("open control socket: %w", err)
		}
	}
	var err error
	l.Listener, err = net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		l.sweep()
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	return l, nil
}

// clean removes what a daemon that died left.
func clean(dir string) error {
	old := address(dir)
	if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the control socket of a daemon that died: %w", err)
	}
	if filepath.Dir(old) != filepath.Clean(dir) {
		_ = os.Remove(filepath.Dir(old)) // It is empty, ours, and in the temporary folder: that it stays does no harm.
		_ = os.Remove(filepath.Join(dir, pointerName))
	}
	return nil
}

// address says where the socket of dir is.
func address(dir string) string {
	if b, err := os.ReadFile(filepath.Join(dir, pointerName)); err == nil {
		path := strings.TrimSpace(string(b))
		if filepath.Base(path) == socketName && strings.HasPrefix(filepath.Base(filepath.Dir(path)), "backstay-") {
			return path
		}
	}
	return filepath.Join(dir, socketName)
}

func (l *listener) sweep() {
	for _, path := range l.remove {
		_ = os.Remove(path)
	}
}
