package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Entry is a file or folder that belongs to a base.
type Entry struct {
	Name    string // what a tablespace holds goes by its name below pg_tblspc
	Path    string // where it is on this host
	Mode    fs.FileMode
	Size    int64
	ModTime time.Time
}

// Listing is what belongs to a base, as it was when it was looked at: files come and go on a running server, and that
// is what the log is replayed for.
type Listing struct {
	Folders []Entry // each after the one that it lies in
	Files   []Entry // without pg_control, which is read at the end
	Skipped []string
}

// Walk lists what belongs to a base of the server whose data lies in dir. Only the tablespaces named by OID are
// entered: one that was made after the base began is made again by replay.
func Walk(dir string, major int, c Control, tablespaces []Tablespace) (*Listing, error) {
	w := walker{dir: dir, list: &Listing{}, spaces: map[string]bool{}}
	linked, err := Tablespaces(dir)
	if err != nil {
		return nil, err
	}
	for _, t := range append(linked, tablespaces...) {
		if rel, err := filepath.Rel(dir, t.Path); err == nil && filepath.IsLocal(rel) {
			w.spaces[filepath.ToSlash(rel)] = true
		}
	}
	if err := w.folder("."); err != nil {
		return nil, err
	}
	for _, name := range WALFolders(major)[1:] {
		w.list.Folders = append(w.list.Folders, Entry{Name: name, Mode: fs.ModeDir | 0o700})
	}
	for _, t := range tablespaces {
		if err := w.tablespace(t, VersionFolder(major, c)); err != nil {
			return nil, err
		}
	}
	return w.list, nil
}

type walker struct {
	dir    string
	list   *Listing
	spaces map[string]bool // folders of tablespaces in the data directory itself, as a restore puts them: listed as such
}

func (w *walker) path(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

// folder lists what the folder holds that belongs to a base. A folder that is gone is no error: its database was
// dropped.
func (w *walker) folder(name string) error {
	entries, err := os.ReadDir(w.path(name))
	if errors.Is(err, fs.ErrNotExist) && name != "." {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list data directory: %w", err)
	}
	var unlogged Unlogged
	if isRelationFolder(name) {
		unlogged = unloggedIn(entries)
	}
	for _, e := range entries {
		if !unlogged.Keeps(e.Name()) {
			continue
		}
		if err := w.entry(path.Join(name, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func unloggedIn(entries []os.DirEntry) Unlogged {
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "_init") {
			names = append(names, e.Name())
		}
	}
	return UnloggedIn(names)
}

// entry lists one file or folder. Links are followed, as the server follows them.
func (w *walker) entry(name string) error {
	link := false
	info, err := os.Lstat(w.path(name))
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		link = true
		info, err = os.Stat(w.path(name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list data directory: %w", err)
	}
	e := Entry{Name: name, Path: w.path(name), Mode: info.Mode(), Size: info.Size(), ModTime: info.ModTime()}
	switch {
	case info.IsDir() && !HasFolder(name), info.Mode().IsRegular() && (!KeepsFile(name) || name == ControlName):
	case info.IsDir() && link && !isServers(name):
		w.list.Skipped = append(w.list.Skipped, name)
	case info.IsDir():
		w.list.Folders = append(w.list.Folders, e)
		if name == "pg_tblspc" {
			return w.inPlace(name)
		}
		if KeepsFolder(name) && !w.spaces[name] {
			return w.folder(name)
		}
	case info.Mode().IsRegular():
		w.list.Files = append(w.list.Files, e)
	default:
		w.list.Skipped = append(w.list.Skipped, name)
	}
	return nil
}

// isServers reports whether a linked folder is one of the server's own. Others, such as a log folder that leads to
// /var/log, hold what does not belong to the cluster alone.
func isServers(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	return top == "base" || top == "global" || strings.HasPrefix(top, "pg_") && top != "pg_log"
}

// inPlace lists tablespaces that are folders instead of links (allow_in_place_tablespaces); links are not followed.
func (w *walker) inPlace(name string) error {
	entries, err := os.ReadDir(w.path(name))
	if err != nil {
		return fmt.Errorf("list data directory: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := w.entry(path.Join(name, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// tablespace lists what one holds of this server; beside it may lie folders of other servers and versions.
func (w *walker) tablespace(t Tablespace, version string) error {
	name := "pg_tblspc/" + strconv.FormatUint(uint64(t.OID), 10)
	info, err := os.Stat(w.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list tablespace: %w", err)
	}
	w.list.Folders = append(w.list.Folders, Entry{Name: name, Path: w.path(name), Mode: info.Mode(), ModTime: info.ModTime()})
	return w.entry(name + "/" + version)
}

// Tablespaces lists the links of tablespaces in dir, by OID.
func Tablespaces(dir string) ([]Tablespace, error) {
	folder := filepath.Join(dir, "pg_tblspc")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("list tablespaces: %w", err)
	}
	var list []Tablespace
	for _, e := range entries {
		oid, ok := parseNumber(e.Name())
		if !ok || e.IsDir() {
			continue
		}
		target, err := os.Readlink(filepath.Join(folder, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list tablespaces: %w", err)
		}
		list = append(list, Tablespace{OID: oid, Path: target})
	}
	slices.SortFunc(list, func(a, b Tablespace) int { return int(int64(a.OID) - int64(b.OID)) })
	return list, nil
}
