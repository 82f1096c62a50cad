package pack

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"time"
	"unicode/utf8"

	"github.com/backstaydb/backstay/internal/engine"
)

// baseFile is one file of a base: what was asked to be stored, and what came of it.
type baseFile struct {
	engine.File
	Padded int64    // bytes at its end that could not be read and are zeros
	Digest [32]byte // keyed BLAKE3 over the digests of its extents, in order
	Map    int      // the first map object that has extents of it; zero if it has none

	index int
}

// fileLine is a file in the sealed list, one JSON object a line.
type fileLine struct {
	Name    string      `json:"name"`
	Raw     []byte      `json:"raw,omitempty"` // the name, where it is no UTF-8
	Mode    fs.FileMode `json:"mode"`          // as Go's io/fs numbers it
	Size    int64       `json:"size,omitempty"`
	ModTime time.Time   `json:"mtime"`
	Link    string      `json:"link,omitempty"`
	Padded  int64       `json:"padded,omitempty"`
	Digest  []byte      `json:"digest,omitempty"`
	Map     int         `json:"map,omitempty"`
}

// listLine is the first line of the sealed list.
type listLine struct {
	Format    int    `json:"format"`
	DigestKey []byte `json:"digest_key"`
	Files     int    `json:"files"`
}

func (f *baseFile) line() ([]byte, error) {
	l := fileLine{Name: f.Name, Mode: f.Mode, Size: f.Size, ModTime: f.ModTime, Link: f.Link, Padded: f.Padded, Map: f.Map}
	if !utf8.ValidString(f.Name) {
		l.Name, l.Raw = "", []byte(f.Name)
	}
	if f.Map != 0 {
		l.Digest = f.Digest[:]
	}
	b, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", f.Name, err)
	}
	return append(b, '\n'), nil
}

// parseFile reads what line wrote.
func parseFile(b []byte) (*baseFile, error) {
	var l fileLine
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, err
	}
	f := &baseFile{File: engine.File{Name: l.Name, Mode: l.Mode, Size: l.Size, ModTime: l.ModTime, Link: l.Link}, Padded: l.Padded, Map: l.Map}
	if l.Raw != nil {
		f.Name = string(l.Raw)
	}
	if !fs.ValidPath(f.Name) || f.Name == "." {
		return nil, fmt.Errorf("file name %q leads out of its folder", f.Name)
	}
	if f.Size < 0 || f.Map < 0 || f.Padded < 0 || f.Size > 0 && f.Map == 0 || l.Digest != nil && len(l.Digest) != len(f.Digest) {
		return nil, fmt.Errorf("file %q: its numbers make no sense", f.Name)
	}
	copy(f.Digest[:], l.Digest)
	return f, nil
}
