package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// minMark is how many bytes the smallest mark takes; it bounds what a damaged count may allocate.
const minMark = 6

var errHeader = errors.New("record header cannot be read")

// decoder reads what appendHeader wrote; after an error it gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// bytes gives a view into the header, nil for an empty value.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return nil
	}
	if n == 0 {
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) position() history.Position {
	t := d.uvarint()
	if t > math.MaxUint32 {
		d.bad = true
	}
	return history.Position{Timeline: uint32(t), Seq: d.uvarint(), Mark: string(d.bytes())}
}

func (d *decoder) time() time.Time {
	if d.byte() == 0 {
		return time.Time{}
	}
	return time.Unix(0, d.varint()).UTC()
}

// decodeHeader reads one header. Nothing of the result points into b.
func decodeHeader(b []byte) (*record, error) {
	d := &decoder{b: b}
	r := &record{kind: kind(d.byte())}
	flags := d.byte()
	r.last, r.hole = flags&flagLast != 0, flags&flagHole != 0
	r.journal, r.batch = d.uvarint(), d.uvarint()
	p := &r.piece
	p.Complete = flags&flagComplete != 0
	p.From, p.To = d.position(), d.position()
	p.Since, p.Until = d.time(), d.time()
	p.File, p.Offset = string(d.bytes()), d.varint()
	p.Token = append([]byte(nil), d.bytes()...)
	r.prevLen = d.varint()
	if why := d.bytes(); r.kind == kindFork {
		p.Fork = new(history.Fork)
		if err := json.Unmarshal(why, p.Fork); err != nil {
			return nil, errHeader
		}
	} else if len(why) > 0 {
		r.gap = new(history.Gap)
		if err := json.Unmarshal(why, r.gap); err != nil {
			return nil, errHeader
		}
	}
	n := d.uvarint()
	if n > uint64(len(d.b))/minMark {
		return nil, errHeader
	}
	if n > 0 {
		p.Marks = make([]history.Mark, n)
	}
	for i := range p.Marks {
		p.Marks[i] = history.Mark{Position: d.position(), Time: d.time(), XID: d.uvarint(), Name: string(d.bytes())}
	}
	if d.bad || len(d.b) != 0 || r.kind < kindHead || r.kind > kindFork || r.prevLen < 0 {
		return nil, errHeader
	}
	return r, nil
}
