package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
)

// claim is a folder outside of the data directory that a tablespace is restored into. As recovery does it with the data
// directory, a marker holds all of it until the data directory stands too:
//
//	FOLDER/.backstay-restore/mark   where the data directory will be; locked as long as the restore lives
//	FOLDER/.backstay-restore/data   the tablespace, to which the link leads meanwhile
//	FOLDER/.backstay-restore/move   the names in data, written before the first of them moves up
//
// A crash at any point leaves a marked folder, which the next restore clears, or a whole one.
type claim struct {
	folder string
	made   bool // the folder was not there before
	lock   *flock.Flock
}

const (
	claimMarker = ".backstay-restore"
	claimMark   = "mark"
	claimData   = "data"
	claimMove   = "move"
)

// claimText is what a mark says, for people who find one.
type claimText struct {
	Data    string    `json:"data_directory"`
	Started time.Time `json:"started"`
	Process int       `json:"process"`
}

// SpaceError says that a folder cannot take a tablespace.
type SpaceError struct {
	Dir  string
	Text string
	Do   string
}

func (e *SpaceError) Error() string { return e.Dir + " " + e.Text }

// Hint says what helps.
func (e *SpaceError) Hint() string { return e.Do }

// vacant says whether a folder could be claimed: it is not there, is empty, or holds what a restore that died left.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var moved []string
	for _, e := range entries {
		if e.Name() == claimMarker {
			if moved, err = (&claim{folder: dir}).moved(); err != nil {
				return err
			}
			moved = append(moved, claimMarker)
		}
	}
	for _, e := range entries {
		if !slices.Contains(moved, e.Name()) {
			return &SpaceError{Dir: dir, Text: fmt.Sprintf("is not empty (it holds %s)", e.Name()), Do: "name a new or an empty folder; nothing is ever restored over existing data"}
		}
	}
	if moved == nil {
		return nil
	}
	lock := flock.New(filepath.Join(dir, claimMarker, claimMark), flock.SetFlag(os.O_RDWR))
	locked, err := lock.TryLock()
	if err == nil && !locked {
		err = &SpaceError{Dir: dir, Text: "is being restored into by another restore", Do: "wait until that has ended, or name another folder"}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it died before it wrote a mark
	}
	return errors.Join(err, lock.Close())
}

// claimFolder makes a folder ours for a restore to data, and clears what a restore that died left in it.
func claimFolder(dir, data string, now time.Time) (*claim, error) {
	if err := vacant(dir); err != nil {
		return nil, err
	}
	c := &claim{folder: dir}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { // the server's user has to come through
		return nil, err
	}
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		c.made = true
	case !errors.Is(err, fs.ErrExist):
		return nil, err
	}
	if err := c.clear(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(c.path(""), 0o700); err != nil {
		return nil, err
	}
	text, err := json.Marshal(claimText{Data: data, Started: now, Process: os.Getpid()})
	if err == nil {
		err = atomicfile.CreateOnly(c.path(claimMark), append(text, '\n'), 0o600)
	}
	if err == nil {
		err = os.Mkdir(c.data(), 0o700)
	}
	if err != nil {
		return nil, errors.Join(err, c.drop())
	}
	c.lock = flock.New(c.path(claimMark), flock.SetFlag(os.O_RDWR))
	locked, err := c.lock.TryLock()
	if err == nil && !locked {
		err = &SpaceError{Dir: dir, Text: "was taken by another restore just now", Do: "name another folder"}
	}
	if err != nil {
		return nil, errors.Join(err, c.lock.Close())
	}
	return c, vacantBut(dir)
}

// vacantBut sees that nobody put something beside our marker.
func vacantBut(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) != 1 {
		err = &SpaceError{Dir: dir, Text: "is being filled by somebody else", Do: "name another folder"}
	}
	return err
}

func (c *claim) path(name string) string { return filepath.Join(c.folder, claimMarker, name) }

// data is where the tablespace is while it is restored.
func (c *claim) data() string { return c.path(claimData) }

// open lets the server's user in.
func (c *claim) open(u server.User) error {
	if err := u.Reaches(filepath.Dir(c.folder)); err != nil {
		return err
	}
	return u.Give(c.folder)
}

// moved lists what was moved up: the names that were to be and are in data no longer.
func (c *claim) moved() ([]string, error) {
	text, err := os.ReadFile(c.path(claimMove))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal(text, &names); err != nil {
		return nil, fmt.Errorf("read %s: %w", c.path(claimMove), err)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Lstat(filepath.Join(c.data(), name))
		return !errors.Is(err, fs.ErrNotExist) || !filepath.IsLocal(name)
	}), nil
}

// moveUp moves the tablespace, which is durable, to its place. The marker stays.
func (c *claim) moveUp() error {
	entries, err := os.ReadDir(c.data())
	if err != nil {
		return err
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	text, err := json.Marshal(names)
	if err != nil {
		return err
	}
	if err := atomicfile.CreateOnly(c.path(claimMove), text, 0o600); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Rename(filepath.Join(c.data(), name), filepath.Join(c.folder, name)); err != nil {
			return err
		}
	}
	return atomicfile.SyncDir(c.folder)
}

// unlock gives the lock up. Windows removes no file that is open.
func (c *claim) unlock() error {
	if c.lock == nil {
		return nil
	}
	err := c.lock.Close()
	c.lock = nil
	return err
}

// finish takes the marker away.
func (c *claim) finish() error {
	return errors.Join(c.unlock(), os.RemoveAll(c.path("")), atomicfile.SyncDir(c.folder), atomicfile.SyncDir(filepath.Dir(c.folder)))
}

// clear removes what is marked, last the marker.
func (c *claim) clear() error {
	names, err := c.moved()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(c.folder, name)); err != nil {
			return err
		}
	}
	return errors.Join(c.unlock(), os.RemoveAll(c.path("")))
}

// drop gives the folder up as it was found.
func (c *claim) drop() error {
	err := c.clear()
	if err == nil && c.made {
		err = os.Remove(c.folder)
	}
	return err
}
