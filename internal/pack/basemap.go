package pack

import (
	"encoding/json"
	"errors"
)

// run is a line of a map: consecutive extents of one file, in consecutive frames of one pack.
type run struct {
	File    int    `json:"file"`         // index in the file list
	Offset  int64  `json:"offset"`       // of the first extent in the file
	Pack    int    `json:"pack"`         // index in the manifest's packs, from 1
	At      int64  `json:"at"`           // of the first frame, in the plain bytes of the pack's age file
	In      int    `json:"in,omitempty"` // offset of the extent in its frame, where frames are shared; such a run has one extent
	Stored  []int  `json:"stored"`       // bytes of each frame, as compressed
	Sizes   []int  `json:"sizes"`        // bytes of each extent
	Digests []byte `json:"digests"`      // 32 bytes for each extent
}

// size is how many bytes of the file the run has.
func (r *run) size() (n int64) {
	for _, s := range r.Sizes {
		n += int64(s)
	}
	return n
}

// length is how many compressed bytes the run has.
func (r *run) length() (n int64) {
	for _, s := range r.Stored {
		n += int64(s)
	}
	return n
}

func (r *run) digest(i int) []byte { return r.Digests[32*i : 32*i+32] }

// maxStored is more than any frame of a base can have, compressed.
const maxStored = 2 * frameBytes

// parseRun reads a line of a map and refuses one that makes no sense for files and packs.
func parseRun(b []byte, files []*baseFile, packs int) (*run, error) {
	r := new(run)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, err
	}
	n := len(r.Stored)
	if n == 0 || len(r.Sizes) != n || len(r.Digests) != 32*n {
		return nil, errors.New("extents, frames and digests are not of one number")
	}
	if r.File < 0 || r.File >= len(files) || r.Pack < 1 || r.Pack > packs {
		return nil, errors.New("file or pack is not in the manifest")
	}
	if r.Offset < 0 || r.At < 0 || r.In < 0 || r.In > frameBytes || r.In > 0 && n > 1 {
		return nil, errors.New("an offset makes no sense")
	}
	for i := range n {
		if r.Sizes[i] <= 0 || r.Sizes[i] > frameBytes || r.Stored[i] <= 0 || r.Stored[i] > maxStored {
			return nil, errors.New("a size makes no sense")
		}
	}
	if size := files[r.File].Size; r.Offset > size || r.size() > size-r.Offset {
		return nil, errors.New("an extent lies beyond the end of its file")
	}
	return r, nil
}
