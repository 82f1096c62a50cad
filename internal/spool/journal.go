package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

const journalPrefix = "journal-"

// journal is one file. Its fields are guarded by Spool.mu, except that f may be read while mu of the journal is held
// for reading.
type journal struct {
	number uint64
	path   string
	begins engine.Bookmark
	body   int64            // where the records after the head begin
	end    int64            // up to where records count
	room   int64            // up to where the file has zeros behind end; less than end if it has none
	last   history.Position // where the log stands at end
	parted bool             // the log ends inside a commit, which goes on in the next journal or is still to come

	mu sync.RWMutex
	f  *os.File // nil when it was released
}

// through reports whether the log that j is needed for ends at or before to.
func (j *journal) through(to history.Position) bool {
	return j.last.Before(to) || j.last.Equal(to) && !j.parted
}

func journalName(number uint64) string { return fmt.Sprintf("%s%06d", journalPrefix, number) }

// listJournals gives the numbers of the journals in dir, ascending.
func listJournals(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), journalPrefix)
		n, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || journalName(n) != e.Name() {
			continue
		}
		// Names are padded to six digits, so beyond them the order of names is not the order of numbers.
		at := len(numbers)
		for at > 0 && numbers[at-1] > n {
			at--
		}
		numbers = append(numbers, 0)
		copy(numbers[at+1:], numbers[at:])
		numbers[at] = n
	}
	return numbers, nil
}

// createJournal makes a new journal durable; prevLen is how much of the journal before it counts.
func (s *Spool) createJournal(number uint64, b engine.Bookmark, prevLen int64) (*journal, error) {
	j := &journal{number: number, path: filepath.Join(s.dir, journalName(number)), begins: b, last: b.Position}
	head := &record{
		kind: kindHead, journal: number, batch: s.batch, last: true, prevLen: prevLen,
		piece: engine.Piece{To: b.Position, Until: b.Time, Token: b.Token},
	}
	raw, err := appendRecord(nil, head, nil)
	if err != nil {
		return nil, err
	}
	if j.f, err = os.OpenFile(j.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, err
	}
	err = s.writeAt(j.f, raw, 0)
	if err == nil {
		err = s.sync(j.f)
	}
	if err == nil {
		err = s.syncDir(s.dir)
	}
	if err != nil {
		return nil, errors.Join(err, j.f.Close(), os.Remove(j.path))
	}
	j.body, j.end = int64(len(raw)), int64(len(raw))
	return j, nil
}

// drop closes and deletes the journal. Readers of its pieces get ErrReleased from now on.
func (j *journal) drop() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.f != nil {
		if err := j.f.Close(); err != nil {
			return err
		}
		j.f = nil
	}
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ReadAt reads from the journal, as long as it was not released.
func (j *journal) ReadAt(p []byte, off int64) (int, error) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.f == nil {
		return 0, ErrReleased
	}
	return j.f.ReadAt(p, off)
}

func (j *journal) corrupt(off int64, detail string) error {
	return &CorruptError{File: j.path, Offset: off, Detail: detail}
}

// window reads a file through a buffer, so that small records cost few system calls.
type window struct {
	r     io.ReaderAt
	limit int64 // bytes from here on do not count
	buf   []byte
	at    int64
}

const windowSize = 128 << 10

// errCut says that the file ends before the record does.
var errCut = errors.New("the file ends inside the record")

// bytes gives n bytes at off, valid until the next call.
func (w *window) bytes(off, n int64) ([]byte, error) {
	if off+n > w.limit {
		return nil, errCut
	}
	if off < w.at || off+n > w.at+int64(len(w.buf)) {
		size := min(max(n, windowSize), w.limit-off)
		if int64(cap(w.buf)) < size {
			w.buf = make([]byte, size)
		}
		w.buf, w.at = w.buf[:size], off
		got, err := w.r.ReadAt(w.buf, off)
		w.buf = w.buf[:got]
		if int64(got) < n {
			if errors.Is(err, io.EOF) {
				return nil, errCut
			}
			return nil, err
		}
	}
	return w.buf[off-w.at : off-w.at+n], nil
}

// record reads the record at off without its data.
func (w *window) record(off int64) (*record, prefix, error) {
	b, err := w.bytes(off, prefixLen)
	if err != nil {
		return nil, prefix{}, err
	}
	p, err := decodePrefix(b)
	if err != nil {
		return nil, prefix{}, err
	}
	if off+p.size() > w.limit {
		return nil, prefix{}, errCut
	}
	if b, err = w.bytes(off, prefixLen+p.header); err != nil {
		return nil, prefix{}, err
	}
	if headSum(b[:prefixLen], b[prefixLen:]) != p.headCRC {
		return nil, prefix{}, errors.New("checksum of the record header does not match")
	}
	r, err := decodeHeader(b[prefixLen:])
	return r, p, err
}

// checkData reads the data of the record at off and compares its checksum.
func (w *window) checkData(off int64, p prefix) error {
	sum := uint32(0)
	for at, end := off+prefixLen+p.header, off+p.size(); at < end; {
		n := min(end-at, windowSize)
		b, err := w.bytes(at, n)
		if err != nil {
			return err
		}
		sum = crc32.Update(sum, crcTab, b)
		at += n
	}
	if sum != p.dataCRC {
		return errors.New("checksum of the data does not match")
	}
	return nil
}

// zeros reports whether nothing but zeros follows from off on.
func (w *window) zeros(off int64) (bool, error) {
	for off < w.limit {
		b, err := w.bytes(off, min(windowSize, w.limit-off))
		if err != nil {
			return false, err
		}
		if len(bytes.Trim(b, "\x00")) > 0 {
			return false, nil
		}
		off += int64(len(b))
	}
	return true, nil
}
