package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
)

// facts are what data that was laid says about itself, and what this host has for it.
type facts struct {
	dir      string // absolute
	major    int
	programs server.Programs
	user     server.User
	control  datadir.Control
}

// readFacts looks at a data directory. A server of its version must be installed.
func readFacts(dir string) (f facts, err error) {
	if f.dir, err = filepath.Abs(dir); err != nil {
		return f, err
	}
	text, err := os.ReadFile(filepath.Join(f.dir, "PG_VERSION"))
	if err != nil {
		return f, missingFile(err)
	}
	if f.major, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return f, damaged("PG_VERSION says %.20q", text)
	}
	if f.control, _, err = datadir.ReadControl(os.DirFS(f.dir)); err != nil {
		if errors.Is(err, datadir.ErrControl) {
			return f, damaged("%w", err)
		}
		return f, missingFile(err)
	}
	if f.programs, err = server.Find(f.major); err != nil {
		return f, err
	}
	f.user, err = ownerOf(f.dir)
	return f, err
}

// missingFile makes damage of a file that is not there.
func missingFile(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return damaged("%w", err)
	}
	return err
}

// ownerOf says whom a server on dir is to run as: the owner of dir. What is being restored as root is root's; there the
// owner of the folder counts that it is restored to.
func ownerOf(dir string) (server.User, error) {
	if os.Geteuid() == 0 {
		dir = finalFolder(dir)
	}
	return server.Owner(dir)
}

// finalFolder is where data will be that is restored in a marker.
func finalFolder(dir string) string {
	if parent := filepath.Dir(dir); strings.HasPrefix(filepath.Base(parent), ".backstay-") {
		return filepath.Dir(parent)
	}
	return dir
}

func (f facts) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// label reads backup_label.
func (f facts) label() (datadir.Label, error) {
	text, err := os.ReadFile(f.path(datadir.LabelName))
	if err != nil {
		return datadir.Label{}, missingFile(err)
	}
	l, err := datadir.ParseLabel(string(text))
	if err != nil {
		return l, damaged("%w", err)
	}
	return l, nil
}

// open lets the server's user come to the data. What is laid as root belongs to root; folders that hold nothing but the
// way there are opened.
func (f facts) open() error {
	if err := f.user.Give(f.dir); err != nil {
		return err
	}
	for p := filepath.Dir(f.dir); f.user.Reaches(f.dir) != nil && p != filepath.Dir(p); p = filepath.Dir(p) {
		entries, err := os.ReadDir(p)
		if err != nil {
			return err
		}
		if len(entries) > 1 && !strings.HasPrefix(filepath.Base(p), ".backstay-") {
			break
		}
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		if err := os.Chmod(p, info.Mode().Perm()|0o011); err != nil {
			return fmt.Errorf("open the way to %s: %w", f.dir, err)
		}
	}
	return f.user.Reaches(f.dir)
}
