package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

var (
	errFrame    = errors.New("a frame that counts is not valid")
	errUnpinned = errors.New("the WAL was let go")
)

// capture reads commits out of a WAL, from head on, and turns each into an LTX file.
type capture struct {
	db    *os.File
	wal   *os.File
	head  head
	index frames
	stamp func(salt, uint32) time.Time
	old   map[uint32]uint64 // sums of pages as they were at head, where the database file may have changed since
	out   *batch

	pinned func() bool // whether the WAL is still kept for us; it can be let go while something is shipped
	block  framesRead  // what scan read last

	commits     int64
	generations int64
}

// to captures every commit up to x.frames, which must be of the generation that the WAL file holds now.
func (c *capture) to(x walIndex) error {
	if x.salt != c.head.salt {
		// The caller's pin makes sure that the old generation was captured to its end.
		c.head.salt, c.head.frame, c.head.chain = x.salt, 0, walSum{}
		c.index = frames{}
		c.generations++
	}
	if x.frames <= c.head.frame {
		return nil
	}
	h, err := c.header(x)
	if err != nil {
		return err
	}
	if c.head.frame == 0 {
		c.head.chain = h.sum
	}
	return c.scan(h, x.frames)
}

func (c *capture) header(x walIndex) (walHeader, error) {
	var b [walHeaderSize]byte
	if _, err := c.wal.ReadAt(b[:], 0); err != nil {
		return walHeader{}, fmt.Errorf("read WAL: %w", err)
	}
	h, err := parseWALHeader(b[:])
	if err != nil {
		return h, fmt.Errorf("read WAL: %w", err)
	}
	if h.salt != x.salt || h.pageSize != x.pageSize {
		return h, fmt.Errorf("read WAL: its header does not belong to the wal-index")
	}
	return h, nil
}

// scan walks the frames up to last and captures at each that ends a commit.
func (c *capture) scan(h walHeader, last uint32) error {
	tx := map[uint32]uint32{}
	_, err := c.block.walk(c.wal, h, c.head.chain, c.head.frame+1, last, func(n uint32, f frameHeader, chain walSum) error {
		tx[f.page] = n
		if f.commit == 0 {
			return nil
		}
		defer clear(tx)
		return c.commit(h, tx, f.commit, n, chain)
	})
	if err == nil && len(tx) > 0 {
		err = fmt.Errorf("read WAL: frame %d counts but ends no commit: %w", last, errFrame)
	}
	return err
}

// commit writes one LTX file for the pages in tx.
func (c *capture) commit(h walHeader, tx map[uint32]uint32, commit, last uint32, chain walSum) error {
	if !c.pinned() {
		return errUnpinned
	}
	at := c.stamp(h.salt, last)
	if !at.After(c.head.until) {
		at = c.head.until.Add(time.Microsecond)
	}
	t := &transaction{
		txid: c.head.position.Seq + 1, pageSize: h.pageSize, before: c.head.pages, commit: commit, time: at,
		salt: h.salt, offset: frameOffset(c.head.frame+1, h.pageSize), size: frameOffset(last+1, h.pageSize) - frameOffset(c.head.frame+1, h.pageSize),
		read: func(p uint32, into []byte) error {
			if f, ok := tx[p]; ok {
				return c.frame(f, into)
			}
			return c.current(p, into)
		},
		oldSum: c.oldSum,
		newSum: func(p uint32, sum uint64) {
			f, ok := tx[p]
			if !ok {
				f = c.index[p].frame
			}
			c.index[p] = version{frame: f, sum: sum, known: true}
		},
	}
	for p := range tx {
		t.pages = append(t.pages, p)
	}
	c.out.begin(t.txid)
	sum, err := t.encode(c.out, c.head.sum)
	if err != nil {
		return fmt.Errorf("capture commit %d: %w", t.txid, err)
	}
	for p, f := range tx {
		if p > commit {
			c.index[p] = version{frame: f}
		}
	}
	c.head.position = history.At(c.head.position.Timeline, t.txid)
	c.head.pageSize, c.head.pages, c.head.sum, c.head.until = h.pageSize, commit, sum, at
	c.head.frame, c.head.chain = last, chain
	c.commits++
	return c.out.end(c.head, history.Mark{Position: c.head.position, Time: at})
}

// frame reads the page of one frame.
func (c *capture) frame(n uint32, into []byte) error {
	if !c.pinned() {
		return errUnpinned
	}
	if page := c.block.page(n, len(into)); page != nil {
		copy(into, page)
		return nil
	}
	_, err := c.wal.ReadAt(into, frameOffset(n, uint32(len(into)))+frameHeaderSize)
	return err
}

// current reads a page as it was at head: its newest captured frame, else the database file, which no checkpoint has
// written above the pin.
func (c *capture) current(p uint32, into []byte) error {
	if v, ok := c.index[p]; ok && v.frame != 0 {
		return c.frame(v.frame, into)
	}
	return readPage(c.db, p, into)
}

// readPage reads a page of the database file; beyond its end there are zeros.
func readPage(db io.ReaderAt, p uint32, into []byte) error {
	n, err := db.ReadAt(into, int64(p-1)*int64(len(into)))
	if errors.Is(err, io.EOF) {
		clear(into[n:])
		return nil
	}
	return err
}

func (c *capture) oldSum(p uint32) (uint64, error) {
	v, ok := c.index[p]
	if ok && v.known {
		return v.sum, nil
	}
	if sum, known := c.old[p]; known && !ok {
		return sum, nil
	}
	page := make([]byte, c.head.pageSize)
	if err := c.current(p, page); err != nil {
		return 0, err
	}
	return pageSum(p, page), nil
}
