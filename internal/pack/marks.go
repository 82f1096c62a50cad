package pack

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// The marks table is a version byte, zero, and one record a mark: a byte that says what is in it, the zigzag varints
// of the difference in sequence and in nanoseconds since 1970 to the record before, and what the byte says.
const (
	markTimeline = 1 << iota // uvarint: the timeline changes
	markXID                  // uvarint
	markName                 // uvarint length and bytes
	markMark                 // uvarint length and bytes: the position's mark
	markNoTime               // the time is not known, the difference is zero
	markKnown    = 1<<iota - 1
)

const marksVersion = 0

// maxMarkText is the longest name or position mark, in bytes.
const maxMarkText = 64 << 10

// marksEncoder appends marks to buf.
type marksEncoder struct {
	buf      []byte
	timeline uint32
	seq      uint64
	nanos    int64
}

func newMarksEncoder() *marksEncoder { return &marksEncoder{buf: []byte{marksVersion}} }

func (e *marksEncoder) add(m history.Mark) error {
	if len(m.Name) > maxMarkText || len(m.Position.Mark) > maxMarkText {
		return fmt.Errorf("seal segment: a mark at %d/%d has more than %d bytes of text", m.Position.Timeline, m.Position.Seq, maxMarkText)
	}
	var has byte
	nanos := e.nanos
	if m.Time.IsZero() {
		has |= markNoTime
	} else {
		nanos = m.Time.UnixNano()
	}
	if m.Position.Timeline != e.timeline {
		has |= markTimeline
	}
	if m.XID != 0 {
		has |= markXID
	}
	if m.Name != "" {
		has |= markName
	}
	if m.Position.Mark != "" {
		has |= markMark
	}
	e.buf = append(e.buf, has)
	e.buf = binary.AppendVarint(e.buf, int64(m.Position.Seq-e.seq))
	e.buf = binary.AppendVarint(e.buf, nanos-e.nanos)
	if has&markTimeline != 0 {
		e.buf = binary.AppendUvarint(e.buf, uint64(m.Position.Timeline))
	}
	if has&markXID != 0 {
		e.buf = binary.AppendUvarint(e.buf, m.XID)
	}
	if has&markName != 0 {
		e.buf = append(binary.AppendUvarint(e.buf, uint64(len(m.Name))), m.Name...)
	}
	if has&markMark != 0 {
		e.buf = append(binary.AppendUvarint(e.buf, uint64(len(m.Position.Mark))), m.Position.Mark...)
	}
	e.timeline, e.seq, e.nanos = m.Position.Timeline, m.Position.Seq, nanos
	return nil
}

// decodeMarks reads what a marksEncoder wrote. It ends with the first error.
func decodeMarks(r io.Reader) iter.Seq2[history.Mark, error] {
	return func(yield func(history.Mark, error) bool) {
		d := marksDecoder{r: bufio.NewReaderSize(r, 32<<10)}
		version, err := d.r.ReadByte()
		if err == nil && version != marksVersion {
			err = fmt.Errorf("marks have version %d, this program reads version %d", version, marksVersion)
		}
		for err == nil {
			var m history.Mark
			if m, err = d.next(); err == nil && !yield(m, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(history.Mark{}, err)
		}
	}
}

type marksDecoder struct {
	r        *bufio.Reader
	timeline uint32
	seq      uint64
	nanos    int64
	err      error
}

// next returns io.EOF only where a record would begin.
func (d *marksDecoder) next() (history.Mark, error) {
	has, err := d.r.ReadByte()
	if err != nil {
		return history.Mark{}, err
	}
	if has > markKnown {
		return history.Mark{}, fmt.Errorf("a mark has unknown parts %#x", has)
	}
	d.seq += uint64(d.varint())
	d.nanos += d.varint()
	if has&markTimeline != 0 {
		t := d.uvarint()
		if t > 1<<32-1 {
			return history.Mark{}, fmt.Errorf("a mark has timeline %d", t)
		}
		d.timeline = uint32(t)
	}
	m := history.Mark{Position: history.At(d.timeline, d.seq)}
	if has&markNoTime == 0 {
		m.Time = time.Unix(0, d.nanos).UTC()
	}
	if has&markXID != 0 {
		m.XID = d.uvarint()
	}
	if has&markName != 0 {
		m.Name = d.text()
	}
	if has&markMark != 0 {
		m.Position.Mark = d.text()
	}
	if errors.Is(d.err, io.EOF) {
		d.err = io.ErrUnexpectedEOF
	}
	return m, d.err
}

func (d *marksDecoder) varint() int64 {
	if d.err != nil {
		return 0
	}
	var n int64
	n, d.err = binary.ReadVarint(d.r)
	return n
}

func (d *marksDecoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	var n uint64
	n, d.err = binary.ReadUvarint(d.r)
	return n
}

func (d *marksDecoder) text() string {
	n := d.uvarint()
	if n > maxMarkText {
		d.err = fmt.Errorf("a mark has a text of %d bytes", n)
	}
	if d.err != nil {
		return ""
	}
	b := make([]byte, n)
	_, d.err = io.ReadFull(d.r, b)
	return string(b)
}
