// Package store is the contract for named, immutable blobs: a folder, an S3 bucket, anything that keeps bytes under
// a name. A store knows nothing of backups. Its conformance suite is store/storetest.
//
// Names are slash-separated relative paths of [a-z0-9A-Z._=-] elements; they are validated by ValidName. A name is
// never also the folder of another, and no two names differ only in case: folders on disk could not hold them. Missing
// objects are fs.ErrNotExist, taken names are fs.ErrExist, bad names and ranges are fs.ErrInvalid, wrapped, so
// errors.Is decides.
package store

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
)

// Store keeps named immutable blobs. All methods are safe for concurrent use, return promptly when ctx ends, and
// bound every request to the provider with a deadline of their own.
type Store interface {
	// Put stores all of r under name, or nothing. It never replaces an object: it returns fs.ErrExist if name is
	// taken. When it returns nil the object is durable and visible to every later call. size is the number of bytes
	// that r will give, or -1 if that is not known; a reader that gives another number is an error and stores
	// nothing; such an error and one of r itself come back as an InputError. Two concurrent Puts of one name have at
	// most one winner where Properties.ConditionalCreate holds.
	Put(ctx context.Context, name string, r io.Reader, size int64) error

	// Open reads length bytes from offset; length -1 means to the end. Reading beyond the end gives fewer bytes,
	// never an error. The caller closes the reader. A missing object is reported here, not by the first Read.
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)

	// Stat describes one object.
	Stat(ctx context.Context, name string) (Object, error)

	// List calls visit for every object whose name begins with prefix, in ascending order of name, and ends early
	// with visit's error. Objects created or deleted meanwhile may or may not be seen; all others are.
	List(ctx context.Context, prefix string, visit func(Object) error) error

	// Delete removes the object. Deleting what is not there is no error. An object that is locked is either refused
	// with fs.ErrPermission or hidden, and then the provider keeps it as an older version. A name is not to be used
	// again: some providers that keep versions take it as taken for ever.
	Delete(ctx context.Context, name string) error

	// Properties says what this store can do, as probed when it was opened.
	Properties() Properties

	// String names the store for people, without secrets: "./repo", "s3://bucket/prefix".
	String() string
}

// Object is one entry of a listing.
type Object struct {
	Name    string
	Size    int64
	Created time.Time
}

// Properties are facts about a store.
type Properties struct {
	ConditionalCreate bool          // Put's "never replaces" holds between concurrent writers on different hosts
	Local             bool          // reads and writes cost no money and no round trip over a network
	TipInterval       time.Duration // how often a small object may reasonably be created here; zero means one second
}

// Locker is implemented by stores that can forbid deletion for a while (object lock).
type Locker interface {
	// Lock forbids to delete the object before until, to the second. It only ever extends: a time before the one
	// that stands is refused with fs.ErrPermission.
	Lock(ctx context.Context, name string, until time.Time) error
	// LockedUntil returns the time that stands, or the zero time for an object that was never locked.
	LockedUntil(ctx context.Context, name string) (time.Time, error)
}

// Filer is implemented by stores whose objects are plain files on this host, so that large objects can be written
// and read without a copy through the page cache.
type Filer interface {
	// Create starts an object of unknown size. The file becomes visible under name when Commit returns nil.
	Create(ctx context.Context, name string) (File, error)
	// Path returns the file that holds the object.
	Path(name string) (string, error)
}

// File is an object in the making.
type File interface {
	io.Writer
	// Commit makes the object durable and then visible; fs.ErrExist if the name was taken meanwhile.
	Commit(ctx context.Context) error
	// Abort removes what was written. After Commit it does nothing.
	Abort() error
}

// ReadAll reads a whole small object; it refuses one larger than limit bytes.
func ReadAll(ctx context.Context, s Store, name string, limit int64) ([]byte, error) {
	r, err := s.Open(ctx, name, 0, limit+1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, &CorruptError{Object: name, Detail: fmt.Sprintf("it is larger than the %d bytes that such an object may have", limit)}
	}
	return b, nil
}

// ValidName returns an error unless name can be stored by every store.
func ValidName(name string) error {
	if name == "" || len(name) > 512 || !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("object name %q: %w", name, fs.ErrInvalid)
	}
	for _, c := range []byte(name) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._=-/", c) >= 0
		if !ok {
			return fmt.Errorf("object name %q: character %q: %w", name, c, fs.ErrInvalid)
		}
	}
	for element := range strings.SplitSeq(name, "/") {
		if element[0] == '.' || element[len(element)-1] == '.' {
			return fmt.Errorf("object name %q: element begins or ends with a dot: %w", name, fs.ErrInvalid)
		}
	}
	return nil
}
