package postgres

import (
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// segmentFile is a file of the log that is being made for the server.
type segmentFile struct {
	*os.File
	start wal.LSN
	size  wal.LSN
	name  string
}

// makeSegment begins a file in dir.
func makeSegment(dir, name string, start wal.LSN, size uint64, user server.User) (*segmentFile, error) {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := user.Give(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &segmentFile{File: f, start: start, size: wal.LSN(size), name: name}, nil
}

func (f *segmentFile) end() wal.LSN { return f.start + f.size }

// put writes what p, which lies at at in the log, has for this file, and returns the rest.
func (f *segmentFile) put(at wal.LSN, p []byte) (rest []byte, err error) {
	n := min(wal.LSN(len(p)), f.end()-at)
	_, err = f.WriteAt(p[:n], int64(at-f.start))
	return p[n:], err
}

// close ends the file: what lies behind cut, which is inside of it or at its end, becomes zeros.
func (f *segmentFile) close(cut wal.LSN) error {
	err := f.Truncate(int64(cut - f.start))
	if err == nil {
		err = f.Truncate(int64(f.size))
	}
	return errors.Join(err, f.Close())
}

// drop gives the file up.
func (f *segmentFile) drop() error {
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// head makes up the page headers without which the server reads nothing, where the log that is at hand begins at have,
// inside of the first file: that of the file's first page, which tells the cluster, and that of the page in which
// recovery begins. What lies before that is never read.
func (f *segmentFile) head(have, begin wal.LSN, h wal.PageHeader) error {
	pages := []wal.LSN{f.start, begin - begin%wal.PageSize}
	for _, page := range pages {
		if page >= have {
			continue
		}
		h.Address, h.Flags = page, 0
		if page == f.start {
			h.Flags = wal.LongHeader
		}
		if _, err := f.WriteAt(wal.AppendPageHeader(nil, h), int64(page-f.start)); err != nil {
			return err
		}
	}
	return nil
}

// magicOf is the magic number of the pages of a version's log, 0 if it is not known.
func magicOf(major int) uint16 {
	for magic := uint16(0xD100); magic < 0xD200; magic++ {
		if (wal.PageHeader{Magic: magic}).Version() == major {
			return magic
		}
	}
	return 0
}

// recordBytes are the bytes of a record in the files that it lies in, without page headers, and where each lies.
type recordBytes struct {
	data   []byte
	places []wal.LSN
	files  []*segmentFile
}

// readRecord collects a record that was just written to files.
func readRecord(files []*segmentFile, r wal.Record) (recordBytes, error) {
	b := recordBytes{files: files}
	for at := r.Start; len(b.data) < int(r.Length); {
		f := b.file(at)
		if f == nil {
			return b, os.ErrNotExist
		}
		if at%wal.PageSize == 0 {
			at += wal.ShortHeaderSize
			if at-wal.ShortHeaderSize == f.start {
				at += wal.LongHeaderSize - wal.ShortHeaderSize
			}
		}
		n := min(wal.LSN(int(r.Length)-len(b.data)), wal.PageSize-at%wal.PageSize)
		part := make([]byte, n)
		if _, err := f.ReadAt(part, int64(at-f.start)); err != nil {
			return b, err
		}
		b.data = append(b.data, part...)
		for range n {
			b.places = append(b.places, at)
			at++
		}
	}
	return b, nil
}

func (b recordBytes) file(at wal.LSN) *segmentFile {
	for _, f := range b.files {
		if f.start <= at && at < f.end() {
			return f
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the checksum of the whole record: the body first, then the header without the sum itself.
func (b recordBytes) sum() uint32 {
	return crc32.Update(crc32.Checksum(b.data[wal.RecordHeaderSize:], castagnoli), castagnoli, b.data[:20])
}
