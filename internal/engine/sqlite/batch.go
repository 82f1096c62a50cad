package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// batch collects pieces and ships them. Shipping happens in the middle of a large commit too, so that memory stays
// bounded.
type batch struct {
	ship  engine.Ship
	limit int
	since time.Time // where the next piece begins
	last  head      // as of the last complete piece
	done  func(head)

	pieces []engine.Piece
	data   []byte // of the piece in the making
	bytes  int    // of all pieces and data
	expect int    // how large the next piece will be, about

	file   string // the LTX file in the making
	offset int64
	ctx    context.Context // of the Follow it serves
}

// begin opens the LTX file of commit txid.
func (b *batch) begin(txid uint64) {
	b.file, b.offset, b.data = fileName(txid, txid), 0, make([]byte, 0, min(b.expect, b.limit))
}

func fileName(from, to uint64) string { return fmt.Sprintf("%016x-%016x.ltx", from, to) }

// Write takes bytes of the LTX file. When the batch is full the commits before this one are shipped; only a commit that
// fills a batch alone is shipped in parts.
func (b *batch) Write(p []byte) (int, error) {
	b.data = append(b.data, p...)
	b.bytes += len(p)
	if b.bytes < b.limit {
		return len(p), nil
	}
	if err := b.flush(); err != nil || b.bytes < b.limit {
		return len(p), err
	}
	b.pieces = append(b.pieces, engine.Piece{From: b.last.position, To: b.last.position, Since: b.since, Until: b.since,
		File: b.file, Offset: b.offset, Data: b.data, Token: b.last.token()})
	b.offset += int64(len(b.data))
	b.data = nil
	return len(p), b.flush()
}

// end closes the LTX file: the commit is complete and h is where the source stands after it.
func (b *batch) end(h head, mark history.Mark) error {
	b.pieces = append(b.pieces, engine.Piece{From: b.last.position, To: h.position, Since: b.since, Until: h.until,
		File: b.file, Offset: b.offset, Complete: true, Data: b.data, Marks: []history.Mark{mark}, Token: h.token()})
	b.expect = len(b.data) + len(b.data)/8
	b.data, b.last, b.since = nil, h, h.until
	if b.bytes >= b.limit || len(b.pieces) >= 4096 {
		return b.flush()
	}
	return nil
}

// idle says that nothing was committed up to h.until.
func (b *batch) idle(h head) {
	if h.until.After(b.since) {
		b.pieces = append(b.pieces, engine.Piece{From: h.position, To: h.position, Since: b.since, Until: h.until, Token: h.token()})
		b.last, b.since = h, h.until
	}
}

// flush ships the pieces that there are.
func (b *batch) flush() error {
	if len(b.pieces) == 0 {
		return nil
	}
	if err := b.ship(b.ctx, b.pieces); err != nil {
		return err
	}
	b.pieces, b.bytes = b.pieces[:0], len(b.data)
	b.done(b.last)
	return nil
}

// drop forgets what was not shipped.
func (b *batch) drop(h head) {
	b.pieces, b.data, b.bytes, b.last, b.since = b.pieces[:0], nil, 0, h, h.until
}
