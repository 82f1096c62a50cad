package sqlite

import (
	"bytes"
	"io"
	"os"
)

// spillLimit is how much of an LTX file is kept in memory while a lock is held.
const spillLimit = 16 << 20

// spill keeps what is written to it, in memory while that is little, else in a nameless file.
type spill struct {
	dir  string // of the file; "" means the system's folder for such files
	mem  []byte
	file *os.File
}

// Write is io.Writer.
func (s *spill) Write(p []byte) (int, error) {
	if s.file == nil && len(s.mem)+len(p) <= spillLimit {
		s.mem = append(s.mem, p...)
		return len(p), nil
	}
	if s.file == nil {
		f, err := scratchFile(s.dir)
		if err != nil {
			return 0, err
		}
		s.file = f
		if _, err := f.Write(s.mem); err != nil {
			return 0, err
		}
		s.mem = nil
	}
	return s.file.Write(p)
}

// WriteTo gives everything to w, in order.
func (s *spill) WriteTo(w io.Writer) (int64, error) {
	if s.file == nil {
		return bytes.NewReader(s.mem).WriteTo(w)
	}
	size, err := s.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{io.NewSectionReader(s.file, 0, size)}, make([]byte, 1<<20))
}

// close removes what was kept.
func (s *spill) close() error {
	if s.file == nil {
		return nil
	}
	return removeScratch(s.file)
}

// scratchFile makes a file that nobody else needs and that a crash leaves nothing of but its name.
func scratchFile(dir string) (*os.File, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	return os.CreateTemp(dir, "sqlite-*.tmp")
}

func removeScratch(f *os.File) error {
	err := f.Close()
	if rerr := os.Remove(f.Name()); err == nil {
		err = rerr
	}
	return err
}
