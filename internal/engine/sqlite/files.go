package sqlite

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/backstaydb/backstay/internal/directio"
	"github.com/backstaydb/backstay/internal/engine"
)

// files are this process's own descriptors of the database and its companions.
//
// Closing any descriptor of a file drops all POSIX locks that the process holds on it, those of SQLite's connections
// too. So they are closed only by close, after the last connection.
type files struct {
	path   string
	db     *os.File
	direct *directio.File // the database once more, for large reads past the page cache
	wal    *os.File
	shm    *os.File
	old    []io.Closer // replaced ones, which must stay open as long
}

func openFiles(path string) (*files, error) {
	db, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, engine.WithHint("run as the application's user, or give this user the right to read it", "open %s: the right to read it is missing: %w", path, err)
	}
	if err != nil {
		return nil, err
	}
	direct, err := directio.Open(path)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &files{path: path, db: db, direct: direct}, nil
}

// ReadAt reads the database: from the page cache where it is there, else from the disk past the cache, so that reading all of a
// large database neither waits for what is at hand nor pushes the application's pages out.
func (f *files) ReadAt(b []byte, off int64) (int, error) {
	if readCached(f.db, b, off) {
		return len(b), nil
	}
	return f.direct.ReadAt(b, off)
}

// openWAL opens the -wal and -shm files, which a connection in WAL mode has made by now. It may be called again to
// pick up files that were made anew.
func (f *files) openWAL() error {
	for _, x := range []struct {
		name string
		file **os.File
	}{{f.path + "-wal", &f.wal}, {f.path + "-shm", &f.shm}} {
		if *x.file != nil && sameFile(*x.file, x.name) {
			continue
		}
		file, err := os.Open(x.name)
		if err != nil {
			return fmt.Errorf("open the WAL: %w", err)
		}
		if *x.file != nil {
			f.old = append(f.old, *x.file)
		}
		*x.file = file
	}
	return nil
}

// sameFile reports whether name still leads to the open file.
func sameFile(file *os.File, name string) bool {
	a, err := file.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(name)
	return err == nil && os.SameFile(a, b)
}

// close must come after the last connection was closed.
func (f *files) close() error {
	var errs []error
	for _, c := range f.old {
		errs = append(errs, c.Close())
	}
	for _, c := range []*os.File{f.db, f.wal, f.shm} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(append(errs, f.direct.Close())...)
}
