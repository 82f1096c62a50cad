package sqlite

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/backstaydb/backstay/internal/engine"
)

const scheme = "sqlite:"

// pathOf reads "sqlite:./app.db", "sqlite:/abs/app.db" and "sqlite:///abs/app.db". The path is taken as it stands;
// percent signs are undone only if no such file exists.
func pathOf(raw string) (string, error) {
	path, ok := strings.CutPrefix(raw, scheme)
	if !ok {
		return "", engine.WithHint("use sqlite:./app.db or sqlite:/path/to/app.db", "read URL %q: it does not begin with sqlite:", raw)
	}
	if strings.HasPrefix(path, "///") {
		path = path[2:]
	}
	if path == "" {
		return "", engine.WithHint("use sqlite:./app.db or sqlite:/path/to/app.db", "read URL %q: it names no file", raw)
	}
	if path == ":memory:" {
		return "", engine.WithHint("only databases in files can be protected", "read URL %q: a database in memory belongs to one process", raw)
	}
	if _, err := os.Lstat(path); err != nil {
		if plain, uerr := url.PathUnescape(path); uerr == nil && plain != path {
			if _, err := os.Lstat(plain); err == nil {
				path = plain
			}
		}
	}
	return filepath.Abs(path)
}

// locate checks that a readable database, or an empty file that can become one, stands at path, and returns the path
// that SQLite itself uses for the names of its companions: the one with all links followed.
func locate(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", engine.WithHint("start the application once so that it makes the file, or check the path", "open %s: there is no such file: %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return "", engine.WithHint("run as the application's user, or give this user the right to read the file and its folder", "open %s: a right is missing: %w", path, err)
	case err != nil:
		return "", fmt.Errorf("open %s: %w", path, err)
	case info.IsDir():
		return "", engine.WithHint("name the database file in it, for example sqlite:"+filepath.Join(path, "app.db"), "open %s: this is a folder, not a database file", path)
	case !info.Mode().IsRegular():
		return "", engine.WithHint("name the database file itself", "open %s: this is not a regular file", path)
	}
	return filepath.EvalSymlinks(path)
}

// dsn is the driver's name for the file at path. Parameters are SQLite's and the driver's.
func dsn(path, parameters string) string {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	return "file://" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(p) + "?" + parameters
}

// readHeader reads the first 100 bytes of the database. An empty file gives a zero header.
func readHeader(r io.ReaderAt) (dbHeader, error) {
	var b [100]byte
	n, err := r.ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return dbHeader{}, err
	}
	return parseHeader(b[:n])
}
