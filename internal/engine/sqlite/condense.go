package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/pierrec/lz4/v4"
	"github.com/superfly/ltx"

	"github.com/backstaydb/backstay/internal/engine"
)

var _ engine.Condenser = Engine{}

// condenseLimit bounds the memory for the newest versions of pages, as they are packed, while a segment is condensed: half of
// a full segment. Where more of it is the newest version there is less to gain.
const condenseLimit = 32 << 20

var errTooLarge = errors.New("too large to be held in memory")

// Condense makes one LTX file with the newest version of each page in files. It gives up, without an error, where that would
// be little smaller than the files or too large to be held in memory.
func (Engine) Condense(ctx context.Context, files []engine.CondenseFile, w io.Writer) (string, error) {
	if len(files) < 2 {
		return "", nil
	}
	c := &condenser{pages: map[uint32][]byte{}, decoder: newLTXReader()}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		err := c.add(f)
		if errors.Is(err, errTooLarge) {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("condense %s: %w", f.Name, err)
		}
	}
	if len(c.pages)*10 > c.count*9 {
		return "", nil
	}
	if err := c.write(w); err != nil {
		return "", fmt.Errorf("condense: %w", err)
	}
	return fileName(uint64(c.first.MinTXID), uint64(c.last.MaxTXID)), nil
}

// condenser holds the newest version of each page so far.
type condenser struct {
	first, last ltx.Header
	post        ltx.Checksum
	pages       map[uint32][]byte // packed
	count       int               // pages read
	size        int               // bytes held
	decoder     *ltxReader
}

// add takes in the next file, which must begin where the one before ended.
func (c *condenser) add(f engine.CondenseFile) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	dec := c.decoder
	if err := dec.open(r); err != nil {
		return err
	}
	h := dec.header
	switch {
	case c.count == 0 && c.first.MinTXID == 0:
		c.first = h
	case h.MinTXID != c.last.MaxTXID+1 || h.PreApplyChecksum != c.post || h.PageSize != c.first.PageSize:
		return fmt.Errorf("it does not follow transaction %s with checksum %s", c.last.MaxTXID, c.post)
	}
	for {
		n, _, err := dec.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		c.count++
		if err := c.hold(n, dec.block); err != nil {
			return err
		}
	}
	c.last, c.post = h, dec.post
	return nil
}

// hold puts a page in the place of its version before.
func (c *condenser) hold(n uint32, block []byte) error {
	held := c.pages[n]
	c.size -= cap(held)
	if cap(held) < len(block) {
		held = make([]byte, 0, len(block)+len(block)/8) // pages that change mostly grow
	}
	held = append(held[:0], block...)
	c.pages[n] = held
	if c.size += cap(held); c.size > condenseLimit {
		return errTooLarge
	}
	return nil
}

// write encodes what add collected.
func (c *condenser) write(w io.Writer) error {
	h := ltx.Header{Version: ltx.Version, PageSize: c.first.PageSize, Commit: c.last.Commit, MinTXID: c.first.MinTXID, MaxTXID: c.last.MaxTXID,
		Timestamp: c.last.Timestamp, PreApplyChecksum: c.first.PreApplyChecksum}
	enc, err := newLTXWriter(w, h)
	if err != nil {
		return err
	}
	numbers := make([]uint32, 0, len(c.pages))
	for n := range c.pages {
		if n <= h.Commit {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	data := make([]byte, h.PageSize)
	for _, n := range numbers {
		if _, err := lz4.UncompressBlock(c.pages[n], data); err != nil {
			return fmt.Errorf("unpack page %d: %w", n, err) // the reader has seen that it can be
		}
		if err := enc.packed(n, c.pages[n], data); err != nil {
			return err
		}
	}
	return enc.close(c.post)
}
