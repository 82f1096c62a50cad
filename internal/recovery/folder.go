package recovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

// Marker is the folder that marks the one it lies in as an unfinished restore. All that is restored stands in it,
// out of everybody's sight, until it is complete.
const Marker = ".backstay-restore"

const (
	lockName = "mark" // in Marker: says whose restore it is, and is locked while that lives
	dataName = "data" // in Marker: what is being restored
	moveName = "move" // in Marker: the names in data, written before the first of them moves up
)

// mark is what the marker says.
type mark struct {
	Source  string    `json:"source"`
	Target  string    `json:"target"`
	Base    string    `json:"base"`
	Started time.Time `json:"started"`
	Process int       `json:"process"`
}

// folder is a directory that was taken to restore into. While it is marked and locked all that is in it is ours.
// What is complete moves up from the marker, one entry after the other, and then the marker goes: a crash at any
// point leaves a marked folder.
type folder struct {
	path      string
	made      []string // folders that were not there before, outermost first
	lock      *flock.Flock
	restarted bool // an unfinished restore lay there and was cleared
}

// NotEmptyError says that the folder holds something.
type NotEmptyError struct {
	Dir  string
	Name string // of one thing in it
}

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("restore into %s: it is not empty (it holds %s)", e.Dir, e.Name)
}

// Hint says what to do instead.
func (e *NotEmptyError) Hint() string {
	return "nothing is ever restored over existing data; name a new or an empty folder"
}

// NotFolderError says that a file lies where the folder should be.
type NotFolderError struct{ Path string }

func (e *NotFolderError) Error() string { return e.Path + " is a file, not a folder" }

// Hint says what to do instead.
func (e *NotFolderError) Hint() string {
	return "name a new or an empty folder; files keep their names in it"
}

// BusyError says that another process restores into the folder, or meant another source.
type BusyError struct {
	Dir    string
	Detail string
}

func (e *BusyError) Error() string { return fmt.Sprintf("restore into %s: %s", e.Dir, e.Detail) }

// Hint says what to do instead.
func (e *BusyError) Hint() string { return "name another folder" }

// take makes dir ours, or changes nothing.
func take(dir string, m mark) (*folder, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("restore into %s: %w", dir, err)
	}
	f := &folder{path: path}
	if err := f.make(); err != nil {
		return nil, errors.Join(fmt.Errorf("restore into %s: %w", dir, err), f.unmake())
	}
	name, err := f.occupant()
	if err == nil && name == Marker {
		err = f.reclaim(m)
	} else if err == nil && name != "" {
		err = &NotEmptyError{Dir: dir, Name: name}
	}
	if err == nil {
		err = f.mark(m)
	}
	if err != nil {
		return nil, errors.Join(err, f.unmake())
	}
	return f, nil
}

// make makes the folder and those above it, and remembers which.
func (f *folder) make() error {
	var missing []string
	for p := f.path; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err == nil && !info.IsDir() {
			return &NotFolderError{Path: p}
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, p)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		err := os.Mkdir(missing[i], 0o700)
		if err == nil {
			f.made = append(f.made, missing[i])
		} else if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// unmake removes the folders that were made, as long as they are empty.
func (f *folder) unmake() error {
	for i := len(f.made) - 1; i >= 0; i-- {
		if err := os.Remove(f.made[i]); err != nil {
			return err
		}
	}
	return nil
}

// occupant is the name of something in the folder, the marker if that is there, "" if it is empty.
func (f *folder) occupant() (string, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return "", fmt.Errorf("restore into %s: %w", f.path, err)
	}
	name := ""
	for _, e := range entries {
		if e.Name() == Marker {
			return Marker, nil
		}
		name = e.Name()
	}
	return name, nil
}

func (f *folder) marker() string { return filepath.Join(f.path, Marker) }

// data is the folder that is restored into.
func (f *folder) data() string { return filepath.Join(f.path, Marker, dataName) }

func (f *folder) lockFile() string { return filepath.Join(f.path, Marker, lockName) }

// mark claims the empty folder. Whoever marks it at the same time fails to make the marker; whatever else comes in
// between is found by looking again.
func (f *folder) mark(m mark) error {
	if err := os.Mkdir(f.marker(), 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return &BusyError{Dir: f.path, Detail: "another restore has just begun there"}
		}
		return fmt.Errorf("restore into %s: %w", f.path, err)
	}
	err := f.claim(m)
	if err != nil {
		// Nothing but what claim made is in the marker, and the folder was empty before.
		return errors.Join(err, f.release(), os.RemoveAll(f.marker()))
	}
	return nil
}

func (f *folder) claim(m mark) error {
	text, err := json.Marshal(m)
	if err == nil {
		err = atomicfile.CreateOnly(f.lockFile(), append(text, '\n'), 0o600)
	}
	if err == nil {
		err = os.Mkdir(f.data(), 0o700)
	}
	if err != nil {
		return fmt.Errorf("restore into %s: %w", f.path, err)
	}
	if err := f.hold(); err != nil {
		return err
	}
	entries, err := os.ReadDir(f.path)
	if err == nil && len(entries) != 1 {
		err = &BusyError{Dir: f.path, Detail: "something else was put there just now"}
	}
	return err
}

// hold locks the marker for as long as this process lives.
func (f *folder) hold() error {
	f.lock = flock.New(f.lockFile(), flock.SetFlag(os.O_RDWR))
	locked, err := f.lock.TryLock()
	if err != nil {
		return fmt.Errorf("restore into %s: lock it: %w", f.path, err)
	}
	if !locked {
		return &BusyError{Dir: f.path, Detail: "another restore into it is running"}
	}
	return nil
}

func (f *folder) release() error {
	if f.lock == nil {
		return nil
	}
	return f.lock.Close()
}

// reclaim clears what a restore that died left behind, if it was one of the same source.
func (f *folder) reclaim(m mark) error {
	text, err := os.ReadFile(f.lockFile())
	if errors.Is(err, fs.ErrNotExist) {
		return f.reclaimUnclaimed()
	}
	if err != nil {
		return fmt.Errorf("restore into %s: %w", f.path, err)
	}
	var old mark
	if err := json.Unmarshal(text, &old); err != nil || old.Source != m.Source {
		return &BusyError{Dir: f.path, Detail: fmt.Sprintf("it holds an unfinished restore of another source (%q)", old.Source)}
	}
	if err := f.hold(); err != nil {
		return err
	}
	if err := f.clear(); err != nil {
		return fmt.Errorf("restore into %s: clear the unfinished restore of %s: %w", f.path, stamp(old.Started), err)
	}
	if name, err := f.occupant(); err != nil || name != "" {
		return errors.Join(err, &NotEmptyError{Dir: f.path, Name: name})
	}
	f.restarted = true
	return nil
}

// reclaimUnclaimed removes the marker of a restore that died, or is about to go on, between making it and saying
// whose it is. Only an empty one can be removed so.
func (f *folder) reclaimUnclaimed() error {
	if err := os.Remove(f.marker()); err != nil {
		return fmt.Errorf("restore into %s: %w", f.path, err)
	}
	if name, err := f.occupant(); err != nil || name != "" {
		return errors.Join(err, &NotEmptyError{Dir: f.path, Name: name})
	}
	f.restarted = true
	return nil
}

// abandon removes all that was restored and what was made for it.
func (f *folder) abandon() error {
	if err := f.clear(); err != nil {
		return fmt.Errorf("clean up %s: %w", f.path, err)
	}
	return f.unmake()
}

// finish makes all that was restored durable, moves it up, lets settle do what has to wait for that, and takes the
// marker away.
func (f *folder) finish(settle func(dir string) error) error {
	if err := syncTree(f.data()); err != nil {
		return fmt.Errorf("sync %s: %w", f.path, err)
	}
	if err := f.moveUp(); err != nil {
		return fmt.Errorf("finish %s: %w", f.path, err)
	}
	if err := settle(f.path); err != nil {
		return fmt.Errorf("finish %s: %w", f.path, err)
	}
	for _, p := range append([]string{f.path}, f.made...) {
		if err := atomicfile.SyncDir(p); err != nil {
			return fmt.Errorf("sync %s: %w", f.path, err)
		}
	}
	if len(f.made) > 0 {
		if err := atomicfile.SyncDir(filepath.Dir(f.made[0])); err != nil {
			return fmt.Errorf("sync %s: %w", f.path, err)
		}
	}
	// Windows removes no file that is open.
	err := f.release()
	if err = errors.Join(err, os.RemoveAll(f.marker()), atomicfile.SyncDir(f.path)); err != nil {
		return fmt.Errorf("finish %s: %w", f.path, err)
	}
	return nil
}
