package agent

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Deadline is a word of memory that an agent shares with its guard, and with its own next life: until when the server may be primary,
// and whether it may be at all. It is a file that both map, best in a memory file system, since a disk that hangs must not hold up
// who writes it. A nil Deadline is kept by nobody.
//
// The moment is one of CLOCK_BOOTTIME, which all processes of a host share; what an earlier boot left there counts for nothing.
type Deadline struct {
	mu   sync.Mutex
	page []byte
	boot uint64
	free func() error
}

// The layout: twice the same, so that one half is always whole; each is boot, until, leads, and a checksum of those.
const halfSize = 8 + 8 + 8 + 8

// OpenDeadline maps the file at path, and makes it where it is missing. Where the system has no clock that processes share, it
// returns an error that is errors.ErrUnsupported.
func OpenDeadline(path string) (*Deadline, error) {
	boot, err := bootID()
	if err != nil {
		return nil, fmt.Errorf("open the deadline: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open the deadline: %w", err)
	}
	page, free, err := share(path, 2*halfSize)
	if err != nil {
		return nil, fmt.Errorf("open the deadline %s: %w", path, err)
	}
	return &Deadline{page: page, boot: boot, free: free}, nil
}

// Close unmaps the file, and leaves it.
func (d *Deadline) Close() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.page = nil
	return d.free()
}

// Write says until when the server may be primary, and whether it may be now.
func (d *Deadline) Write(until time.Duration, leads bool) {
	if d == nil {
		return
	}
	var b [halfSize]byte
	binary.LittleEndian.PutUint64(b[8:], uint64(until))
	b[16] = map[bool]byte{true: 1}[leads]
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.page == nil {
		return
	}
	binary.LittleEndian.PutUint64(b[:], d.boot)
	binary.LittleEndian.PutUint64(b[24:], uint64(crc32.ChecksumIEEE(b[:24]))|1<<32)
	for half := range 2 {
		copy(d.page[half*halfSize:], b[:])
	}
}

// Read is the moment, and whether the server may be primary. ok is false where nothing of this boot was written. A half that is being
// written is not whole, so the other one is taken.
func (d *Deadline) Read() (until time.Duration, leads, ok bool) {
	if d == nil {
		return 0, false, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for half := 0; half < 2 && d.page != nil; half++ {
		var b [halfSize]byte
		copy(b[:], d.page[half*halfSize:])
		sum := uint64(crc32.ChecksumIEEE(b[:24])) | 1<<32
		if binary.LittleEndian.Uint64(b[24:]) == sum && binary.LittleEndian.Uint64(b[:]) == d.boot {
			return time.Duration(binary.LittleEndian.Uint64(b[8:])), b[16] != 0, true
		}
	}
	return 0, false, false
}
