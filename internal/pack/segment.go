package pack

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strconv"
	"strings"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/history"
)

// SegmentSealer is what segments are sealed with: no secret is in it.
type SegmentSealer struct {
	Recipients []age.Recipient
}

// SegmentSpec is what goes into a segment.
type SegmentSpec struct {
	Segment history.Segment // Bytes and StoredBytes are filled by SealSegment

	// Entries are the log files in order; condensed ones first. They are opened one at a time and closed before the
	// next one. slices.Values makes one of a list.
	Entries iter.Seq[SegmentEntry]

	// Marks are the commits in order; nil for none.
	Marks iter.Seq[history.Mark]
}

// SegmentEntry is one log file, or a part of one.
type SegmentEntry struct {
	File      string // a relative slash-separated path
	Offset    int64  // where it belongs in File
	Size      int64  // bytes that Open's reader gives at least; what it gives more is left out
	Condensed bool   // it stands for all others together
	Open      func() (io.ReadCloser, error)
}

// IndexRef says where the index of a segment lies, in the plain bytes of its age file. The zero value says that it
// is not known; a segment cannot be opened without.
type IndexRef struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`

	// SHA256 is that of those plain bytes, 64 hex digits. The index has the digest of each frame: who trusts this one
	// needs no other to read any piece of the segment. "" says that the segment is to be compared as a whole.
	SHA256 string `json:"sha256,omitempty"`
}

// Sealed is a segment that was written.
type Sealed struct {
	Segment history.Segment `json:"segment"`
	Size    int64           `json:"size"` // bytes as stored
	SHA256  string          `json:"sha256"`
	CRC32C  string          `json:"crc32c,omitempty"` // eight hex digits; who reads the bytes back before they are put compares them
	Index   IndexRef        `json:"index"`
}

// Names in the tar of a segment.
const (
	condensedPrefix = "condensed/"
	logPrefix       = "log/"
	marksName       = "marks"
	indexName       = "index"
)

// tarName is the entry's name in the tar: a part of a log file has its offset behind it.
func (e *SegmentEntry) tarName() string {
	switch {
	case e.Condensed:
		return condensedPrefix + e.File
	case e.Offset > 0:
		return logPrefix + e.File + "@" + strconv.FormatInt(e.Offset, 10)
	}
	return logPrefix + e.File
}

func (e *SegmentEntry) valid() error {
	if !fs.ValidPath(e.File) || e.File == "." || strings.Contains(e.File, "\x00") {
		return fmt.Errorf("seal segment: log file name %q: %w", e.File, fs.ErrInvalid)
	}
	if e.Size < 0 || e.Offset < 0 {
		return fmt.Errorf("seal segment: log file %s has size %d at offset %d: %w", e.File, e.Size, e.Offset, fs.ErrInvalid)
	}
	if e.Condensed && e.Offset != 0 {
		return errors.New("seal segment: a condensed log file cannot be a part of one")
	}
	return nil
}
