package postgres

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
)

const (
	linksFolder  = "pg_tblspc"   // of the server: one link for each tablespace, named by its number
	spacesFolder = "tablespaces" // below the data directory: where they go unless they are mapped
)

// spaces gives each tablespace its folder.
type spaces struct {
	dir  string // the data directory, absolute
	user server.User
	to   map[string]string // by former path or number, absolute

	mu      sync.Mutex
	aliases []string          // names that stand for folders in the log; see alias
	claims  map[string]*claim // folders elsewhere, by path
	used    map[string]bool   // keys of to
}

// mapped is the folder elsewhere that a tablespace goes to, "" for one that is not mapped.
func (s *spaces) mapped(oid uint32, former string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range []string{former, strconv.FormatUint(uint64(oid), 10)} {
		if to, ok := s.to[key]; ok && key != "" {
			s.used[key] = true
			return to
		}
	}
	return ""
}

// unused lists the keys of the map that no tablespace had.
func (s *spaces) unused() (keys []string) {
	for _, key := range slices.Sorted(maps.Keys(s.to)) {
		if !s.used[key] {
			keys = append(keys, key)
		}
	}
	return keys
}

func newSpaces(f facts, to map[string]string) *spaces {
	return &spaces{dir: f.dir, user: f.user, to: to, claims: map[string]*claim{}, used: map[string]bool{}}
}

// place moves what a base laid in pg_tblspc to its folders and makes the links. The map that says where it was is not
// needed any more.
func (s *spaces) place() error {
	former := map[uint32]string{}
	text, err := os.ReadFile(filepath.Join(s.dir, datadir.MapName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	list, err := datadir.ParseTablespaces(string(text))
	if err != nil {
		return damaged("%w", err)
	}
	for _, t := range list {
		former[t.OID] = t.Path
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, linksFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		oid, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil || !e.IsDir() {
			continue
		}
		if _, ok := former[uint32(oid)]; !ok {
			former[uint32(oid)] = ""
		}
	}
	for oid, path := range former {
		if err := s.placeOne(oid, path); err != nil {
			return fmt.Errorf("place tablespace %d: %w", oid, err)
		}
	}
	if err := os.Remove(filepath.Join(s.dir, datadir.MapName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *spaces) placeOne(oid uint32, former string) error {
	link := filepath.Join(s.dir, linksFolder, strconv.FormatUint(uint64(oid), 10))
	to, err := s.make(oid, former)
	if err != nil {
		return err
	}
	if err := moveContent(link, to); err != nil {
		return err
	}
	if err := s.user.Give(to); err != nil {
		return err
	}
	return relink(link, to)
}

// make makes the folder of a tablespace, and gives the one in which it is restored.
func (s *spaces) make(oid uint32, former string) (string, error) {
	if to := s.mapped(oid, former); to != "" {
		return s.claim(to)
	}
	below := filepath.Join(s.dir, spacesFolder)
	to := filepath.Join(below, strconv.FormatUint(uint64(oid), 10))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return "", err
	}
	return to, s.user.Give(below)
}

// claim takes a folder elsewhere, once.
func (s *spaces) claim(to string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.claims[to]; c != nil {
		return c.data(), nil
	}
	final := finalFolder(s.dir)
	if rel, err := filepath.Rel(final, to); err == nil && filepath.IsLocal(rel) {
		return "", &SpaceError{Dir: to, Text: "lies in the folder that is restored into", Do: "leave it out: a tablespace that is given no folder goes to " + filepath.Join(final, spacesFolder)}
	}
	c, err := claimFolder(to, final, time.Now())
	if err != nil {
		return "", err
	}
	s.claims[to] = c
	return c.data(), c.open(s.user)
}

// inside reports whether path lies in the data directory.
func (s *spaces) inside(path string) bool {
	rel, err := filepath.Rel(s.dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// relink makes link a link to an absolute path, in place of a link or an empty folder.
func relink(link, to string) error {
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(to, link)
}

// alias names the folder of a tablespace that the log makes, in two bytes: what stands in the log must not become
// longer. The server looks for the name from the data directory, and from pg_tblspc once it is a link there, so it
// stands in both.
func (s *spaces) alias(oid uint32, former string) (string, error) {
	to, err := s.make(oid, former)
	if err != nil {
		return "", fmt.Errorf("make tablespace %d: %w", oid, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	const letters = "abcdefghijklmnopqrstuvwxyz"
	n := len(s.aliases)
	if n >= len(letters)*len(letters) {
		return "", errors.New("the log makes more than 676 tablespaces")
	}
	name := string([]byte{letters[n/len(letters)], letters[n%len(letters)]})
	for _, folder := range []string{s.dir, filepath.Join(s.dir, linksFolder)} {
		// A standby keeps them, and is moved: so they lead to a place beside them where they can.
		target, err := filepath.Rel(folder, to)
		if err != nil || !s.inside(to) {
			target = to
		}
		if err := os.Symlink(target, filepath.Join(folder, name)); err != nil {
			return "", fmt.Errorf("make tablespace %d: %w", oid, err)
		}
	}
	s.aliases = append(s.aliases, name)
	return name, nil
}

// settle makes each link an absolute one to the folder itself, and removes the aliases unless they are kept.
func (s *spaces) settle(keep bool) error {
	links := filepath.Join(s.dir, linksFolder)
	entries, err := os.ReadDir(links)
	if err != nil {
		return err
	}
	for _, e := range entries {
		link := filepath.Join(links, e.Name())
		if _, err := strconv.ParseUint(e.Name(), 10, 32); err != nil || e.Type() != fs.ModeSymlink {
			continue
		}
		to, err := filepath.EvalSymlinks(link)
		if err != nil {
			return err
		}
		if err := relink(link, to); err != nil {
			return err
		}
	}
	for _, name := range s.aliases {
		if keep {
			continue
		}
		if err := errors.Join(os.Remove(filepath.Join(s.dir, name)), os.Remove(filepath.Join(links, name))); err != nil {
			return err
		}
	}
	return s.clean()
}

// clean removes folders of tablespaces that were dropped again.
func (s *spaces) clean() error {
	folder := filepath.Join(s.dir, spacesFolder)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := os.Lstat(filepath.Join(s.dir, linksFolder, e.Name())); errors.Is(err, fs.ErrNotExist) {
			if err := os.Remove(filepath.Join(folder, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// abandon gives the folders outside of the data directory up.
func (s *spaces) abandon() error {
	var all error
	for _, c := range s.claims {
		all = errors.Join(all, c.drop())
	}
	clear(s.claims)
	return all
}

// arrive moves what was restored elsewhere to its place, once the data directory stands in dir, its own.
func (s *spaces) arrive(dir string) error {
	for _, c := range s.claims {
		if err := c.moveUp(); err != nil {
			return fmt.Errorf("place tablespace in %s: %w", c.folder, err)
		}
	}
	if err := s.redirect(dir); err != nil {
		return err
	}
	for _, c := range s.claims {
		if err := c.finish(); err != nil {
			return fmt.Errorf("place tablespace in %s: %w", c.folder, err)
		}
	}
	return nil
}

// redirect makes the links that led into claims lead to what they moved up to.
func (s *spaces) redirect(dir string) error {
	for _, folder := range []string{dir, filepath.Join(dir, linksFolder)} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, e := range entries {
			link := filepath.Join(folder, e.Name())
			if e.Type() != fs.ModeSymlink {
				continue
			}
			to, err := os.Readlink(link)
			if err != nil {
				return err
			}
			for _, c := range s.claims {
				if real, err := filepath.EvalSymlinks(c.data()); err != nil || to != c.data() && to != real {
					continue
				}
				if err := relink(link, c.folder); err != nil {
					return err
				}
			}
		}
		if err := atomicfile.SyncDir(folder); err != nil {
			return err
		}
	}
	return nil
}

// moveContent moves what is in one folder to another, which may lie on another file system.
func moveContent(from, to string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		a, b := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if err := os.Rename(a, b); err == nil {
			continue
		}
		if err := copyTree(a, b); err != nil {
			return err
		}
		if err := os.RemoveAll(a); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies folders and files.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		return copyFile(p, filepath.Join(to, rel))
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
