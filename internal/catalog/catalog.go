package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the only SQLite in this process: a second one would break the locks of both
)

// Catalog is an open catalog. It is safe for concurrent use. Use Open or Join.
type Catalog struct {
	path   string
	opened Opened
	write  *sql.DB // one connection: writers of this process wait here, not in SQLite
	read   *sql.DB

	turns sync.Map // by Ref, a *sync.Mutex
}

// Opened says what Open found.
type Opened struct {
	Fresh  bool   // the file is new and empty: Rebuild fills it
	Aside  string // where a file went that could not be used; "" if there was none
	Reason string // why it could not be used
}

// Open opens the catalog in the file path, and makes it if there is none. A file that is damaged, or of a newer version of
// Backstay, is moved aside, and a new one is made. It is for the process that holds the host's lock.
func Open(ctx context.Context, path string) (*Catalog, error) {
	var o Opened
	c, err := usable(ctx, path)
	if damaged, newer := new(DamagedError), new(NewerError); errors.As(err, &damaged) || errors.As(err, &newer) {
		o.Reason = err.Error()
		if o.Aside, err = aside(path, time.Now()); err != nil {
			return nil, err
		}
		c, err = nil, fs.ErrNotExist
	}
	if errors.Is(err, fs.ErrNotExist) {
		o.Fresh = true
		c, err = create(ctx, path)
	}
	if err != nil {
		return nil, err
	}
	c.opened = o
	return c, nil
}

// Join opens the catalog beside the process that owns it. It is fs.ErrNotExist if there is none, a DamagedError or a
// NewerError if it cannot be used; nothing is moved.
func Join(ctx context.Context, path string) (*Catalog, error) { return usable(ctx, path) }

// Opened says what Open found.
func (c *Catalog) Opened() Opened { return c.opened }

// Close closes the file.
func (c *Catalog) Close() error {
	if err := errors.Join(c.read.Close(), c.write.Close()); err != nil {
		return fmt.Errorf("close catalog %s: %w", c.path, err)
	}
	return nil
}

// usable opens a file that exists, and brings it to this version.
func usable(ctx context.Context, path string) (*Catalog, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	if _, err := os.Stat(path + marker); err == nil {
		return nil, &DamagedError{Path: path, Cause: errors.New("damage was met when it was last used")}
	}
	c := &Catalog{path: path}
	var err error
	if c.write, err = sql.Open("sqlite", dsn(path, "_txlock=immediate&_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-8000)")); err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", path, err)
	}
	c.write.SetMaxOpenConns(1)
	if c.read, err = sql.Open("sqlite", dsn(path, "_pragma=busy_timeout(20000)&_pragma=query_only(1)")); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", path, err), c.write.Close())
	}
	c.read.SetMaxOpenConns(4)
	if err := c.migrate(ctx, migrations); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func create(ctx context.Context, path string) (*Catalog, error) {
	// O_EXCL: a file that another opened meanwhile is not opened here, for closing it would end that one's locks.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create catalog: %w", err)
	}
	return usable(ctx, path)
}

func dsn(path, parameters string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	path = filepath.ToSlash(path)
	if path[0] != '/' {
		path = "/" + path // a drive letter
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: parameters}
	return u.String()
}

// update runs do in a write transaction.
func (c *Catalog) update(ctx context.Context, verb string, do func(*sql.Tx) error) error {
	tx, err := c.write.BeginTx(ctx, nil)
	if err == nil {
		if err = do(tx); err == nil {
			err = tx.Commit()
		} else {
			_ = tx.Rollback() // err is the news
		}
	}
	return c.failed(verb, err)
}

// query runs a question and gives each row to visit.
func (c *Catalog) query(ctx context.Context, verb string, visit func(scan func(...any) error) error, text string, args ...any) error {
	rows, err := c.read.QueryContext(ctx, text, args...)
	if err != nil {
		return c.failed(verb, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows.Scan); err != nil {
			return c.failed(verb, err)
		}
	}
	return c.failed(verb, rows.Err())
}

// stamp is a time as it is stored: microseconds since 1970, 0 for the zero time.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment is the inverse of stamp.
func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
