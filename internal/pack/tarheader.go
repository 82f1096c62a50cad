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

// appendHeader appends the tar header of a regular file: one block of the oldest form where name and size fit, which
// costs a tenth of what archive/tar takes and is what a log of a million small files is made of.
func appendHeader(dst []byte, name string, size int64, when time.Time) ([]byte, error) {
	if len(name) > 99 || size >= 1<<33 || when.Unix() < 0 || when.Unix() >= 1<<33 || !ascii(name) {
		h, err := tarHeader(engine.File{Name: name, Mode: 0o600, Size: size, ModTime: when})
		return append(dst, h...), err
	}
	start := len(dst)
	dst = append(dst, make([]byte, tarBlock)...)
	b := dst[start:]
	copy(b, name)
	octal(b[100:107], 0o600)
	octal(b[108:115], 0)
	octal(b[116:123], 0)
	octal(b[124:135], size)
	octal(b[136:147], when.Unix())
	copy(b[148:156], "        ")
	b[156] = tar.TypeReg
	copy(b[257:], "ustar\x0000")
	sum := int64(0)
	for _, c := range b {
		sum += int64(c)
	}
	octal(b[148:154], sum)
	b[154] = 0
	return dst, nil
}

func octal(b []byte, n int64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = '0' + byte(n&7)
		n >>= 3
	}
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
