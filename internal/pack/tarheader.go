package pack

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

const tarBlock = 512

// tarTrailer ends a tar stream.
var tarTrailer [2 * tarBlock]byte

// padding is how many zeros follow size bytes of data.
func padding(size int64) int { return int(-size & (tarBlock - 1)) }

// tarHeader returns the header of f. Times are in whole seconds, so that most headers are one block of the oldest
// form; the exact ones are in the file list.
func tarHeader(f engine.File) ([]byte, error) {
	h := &tar.Header{Name: f.Name, ModTime: f.ModTime.Truncate(time.Second), Mode: int64(f.Mode.Perm())}
	if f.ModTime.IsZero() {
		h.ModTime = time.Unix(0, 0)
	}
	h.Mode |= specialBits(f.Mode)
	switch f.Mode.Type() {
	case 0:
		h.Typeflag, h.Size = tar.TypeReg, f.Size
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, f.Name+"/"
	case fs.ModeSymlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
	default:
		return nil, fmt.Errorf("store %s: a %s is neither file, folder nor symbolic link", f.Name, f.Mode.Type())
	}
	var buf bytes.Buffer
	if err := tar.NewWriter(&buf).WriteHeader(h); err != nil {
		return nil, fmt.Errorf("store %s: %w", f.Name, err)
	}
	return buf.Bytes(), nil
}

// specialBits are the set-user-ID, set-group-ID and sticky bits as tar has them.
func specialBits(m fs.FileMode) (bits int64) {
	for i, bit := range []fs.FileMode{fs.ModeSetuid, fs.ModeSetgid, fs.ModeSticky} {
		if m&bit != 0 {
			bits |= 0o4000 >> i
		}
	}
	return bits
}
