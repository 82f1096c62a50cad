package sqlite

import (
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/backstaydb/backstay/internal/engine"
)

const (
	codeError       = lib.SQLITE_ERROR
	codeCorrupt     = lib.SQLITE_CORRUPT
	codeNotDatabase = lib.SQLITE_NOTADB
)

// resultCode returns SQLite's primary result code of err, 0 if it has none.
func resultCode(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// isBusy reports whether another connection holds a lock that is needed.
func isBusy(err error) bool {
	c := resultCode(err)
	return c == lib.SQLITE_BUSY || c == lib.SQLITE_LOCKED
}

// explain puts SQLite's refusals into words that say what to do about them.
func explain(path string, err error) error {
	switch resultCode(err) {
	case lib.SQLITE_NOTADB:
		return engine.WithHint("an encrypted database (SQLCipher, SEE) cannot be read; otherwise check that this is the right file",
			"open %s: this is not a SQLite database, or it is encrypted: %w", path, err)
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return engine.WithHint("another process holds the database for itself; PRAGMA locking_mode=EXCLUSIVE in the application must be turned off",
			"open %s: the database is locked: %w", path, err)
	case lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY, lib.SQLITE_PERM, lib.SQLITE_AUTH:
		return engine.WithHint("in WAL mode SQLite needs to write the -shm file beside the database to read it: give this user the right to read "+
			"and write the database, its -wal and -shm files and the folder, or run as the application's user",
			"open %s: a right is missing: %w", path, err)
	case lib.SQLITE_CORRUPT:
		return engine.WithHint("run PRAGMA integrity_check on it; a damaged database must be repaired before it is worth protecting",
			"open %s: the database is damaged: %w", path, err)
	}
	return fmt.Errorf("open %s: %w", path, err)
}
