package wal

import (
	"fmt"
	"hash/crc32"
)

// Options say what a Scanner does with what it finds.
type Options struct {
	SegmentSize uint64       // of the log files; zero means that the first long page header says it
	SystemID    uint64       // that long page headers must name; zero means any
	Version     int          // major version of the server; zero means that the first page header says it
	Prev        LSN          // start of the record that ends where the scan begins; zero if it is not known
	Verify      bool         // compare each record's CRC-32C
	Each        func(Record) // called for each whole record; may be nil
	Event       func(Event)  // called for each record that is an event, after Each; may be nil
}

// Scanner finds the records in consecutive bytes of log. It begins at any record boundary, or at the beginning of
// any page: there it finds the first boundary by itself. Use NewScanner.
//
//	page header ──▶ record header ──▶ body ──┐
//	     ▲                ▲                  │
//	     └─ end of page   └──────────────────┘
type Scanner struct {
	o   Options
	err error

	begin    LSN
	pos      LSN // of the next byte
	boundary LSN // end of the last whole record, 0 if none is known
	limit    LSN // Feed ends with errLimit when a record ends behind it
	last     Record
	timeline uint32
	version  int
	switched LSN // up to where the rest of the segment after a switch goes, 0 outside of it

	page  [LongHeaderSize]byte // a page header that is cut
	npage int

	head  [RecordHeaderSize]byte // a record header that is cut
	nhead int

	cur    Record // being read; its Start is 0 where only its rest was seen
	rest   uint32 // bytes of its body still to come
	pad    uint32 // bytes of padding behind it still to come
	within bool   // its header is complete
	body   []byte // what has to be kept of it
	keep   bool   // it becomes an event
	crc    uint32 // of its body so far
}

// NewScanner begins at a position.
func NewScanner(at LSN, o Options) *Scanner {
	s := &Scanner{o: o, begin: at, pos: at, version: o.Version}
	if o.Prev != 0 {
		s.last = Record{Start: o.Prev, End: at}
	}
	switch off := at % PageSize; {
	case off == 0:
	case off < ShortHeaderSize || off%8 != 0:
		s.err = &EndError{At: at, Reason: "no record can begin here"}
	default:
		s.boundary = at
	}
	return s
}

// EndError says that what stands at a position does not continue the log.
type EndError struct {
	At     LSN // where the log ends: the last boundary, or the place itself where none is known
	Pos    LSN // where it was noticed
	Zeros  bool
	Reason string
}

func (e *EndError) Error() string {
	return fmt.Sprintf("read log at %s: it ends at %s: %s", e.Pos, e.At, e.Reason)
}

// Pos is where the next byte that is fed belongs.
func (s *Scanner) Pos() LSN { return s.pos }

// Boundary is the end of the last whole record, or where the scan began if that is one. It is 0 while no boundary is
// known.
func (s *Scanner) Boundary() LSN { return s.boundary }

// Last is the last whole record. Its Start is 0 if none was seen from its beginning.
func (s *Scanner) Last() Record { return s.last }

// Timeline is what the last page header says.
func (s *Scanner) Timeline() uint32 { return s.timeline }

// Version is the server's major version as the last page header says it.
func (s *Scanner) Version() int { return s.version }

// SegmentSize is the size of the log files, 0 while it is not known.
func (s *Scanner) SegmentSize() uint64 { return s.o.SegmentSize }

// Feed takes the next bytes. At the end of the log it returns an *EndError, and so does each call after it; what it
// found up to there counts.
func (s *Scanner) Feed(p []byte) error {
	for len(p) > 0 && s.err == nil {
		switch off := s.pos % PageSize; {
		case s.switched != 0:
			p = s.skipSegment(p)
		case off == 0 || s.npage > 0:
			p = s.readPageHeader(p)
		default:
			n := min(LSN(len(p)), PageSize-off)
			p = p[int(n)-len(s.readRecords(p[:n])):]
		}
	}
	return s.err
}

func (s *Scanner) end(zeros bool, format string, args ...any) {
	at := s.boundary
	if at == 0 {
		at = s.begin
	}
	s.err = &EndError{At: at, Pos: s.pos, Zeros: zeros, Reason: fmt.Sprintf(format, args...)}
}

// skipSegment passes over what follows a switch.
func (s *Scanner) skipSegment(p []byte) []byte {
	n := min(LSN(len(p)), s.switched-s.pos)
	s.pos += n
	if s.pos == s.switched {
		s.switched = 0
		s.complete()
	}
	return p[n:]
}

// readPageHeader collects a page header, which may be cut anywhere.
func (s *Scanner) readPageHeader(p []byte) []byte {
	if s.npage == 0 {
		if h, ok := ParsePageHeader(p); ok { // the usual case
			s.pos += LSN(h.Size())
			s.beginPage(h)
			return p[h.Size():]
		}
	}
	for len(p) > 0 {
		s.page[s.npage] = p[0]
		s.npage, s.pos, p = s.npage+1, s.pos+1, p[1:]
		if h, ok := ParsePageHeader(s.page[:s.npage]); ok {
			s.npage = 0
			s.beginPage(h)
			break
		}
	}
	return p
}

func (s *Scanner) beginPage(h PageHeader) {
	address := s.pos - LSN(h.Size())
	switch {
	case h == PageHeader{}:
		s.end(true, "page %s is empty", address)
		return
	case h.Version() == 0:
		s.end(false, "page %s has the magic number %#04x, which is of none of the versions 12 to 18", address, h.Magic)
		return
	case h.Address != address:
		s.end(false, "page %s says that it is page %s", address, h.Address)
		return
	case h.Timeline < s.timeline:
		s.end(false, "page %s is of timeline %d, the one before of %d", address, h.Timeline, s.timeline)
		return
	case h.IsLong() && !s.fits(h):
		s.end(false, "page %s is of another cluster or of segments of another size", address)
		return
	case s.o.SegmentSize != 0 && h.IsLong() != (uint64(address)%s.o.SegmentSize == 0):
		s.end(false, "page %s has the wrong kind of header", address)
		return
	}
	s.timeline, s.version = h.Timeline, h.Version()
	s.continueRecord(h, address)
}

// fits compares a long header with what is known of the cluster, and learns the size of segments from it.
func (s *Scanner) fits(h PageHeader) bool {
	size := uint64(h.SegmentSize)
	if s.o.SegmentSize == 0 && ValidSegmentSize(size) {
		s.o.SegmentSize = size
	}
	return h.PageSize == PageSize && size == s.o.SegmentSize && (s.o.SystemID == 0 || s.o.SystemID == h.SystemID)
}

// continueRecord compares how the page begins with how the one before ended.
func (s *Scanner) continueRecord(h PageHeader, address LSN) {
	continues := h.Flags&FirstIsContRecord != 0
	switch {
	case s.unfinished() == 0 && !continues:
		if s.boundary == 0 {
			s.boundary = address
		}
	case s.unfinished() == 0 && address == s.begin && h.Rest > 0 && h.Rest < maxRecord && s.o.Prev == 0:
		// The record's header was not seen, so there is nothing that it could be compared with.
		s.cur, s.within, s.keep = Record{}, true, false
		s.rest, s.pad = h.Rest, uint32(align(uint64(h.Rest)))-h.Rest
	case s.unfinished() > 0 && continues && h.Rest == s.unfinished():
	case h.Flags&FirstIsOverwriteContRecord != 0 && !continues:
		s.abandon()
	default:
		s.end(false, "page %s goes on with %d bytes of a record, %d are missing", address, h.Rest, s.unfinished())
	}
}

// unfinished is how many bytes are missing of the record that is being read.
func (s *Scanner) unfinished() uint32 {
	if s.within {
		return s.rest
	}
	if s.nhead > 0 {
		return parseRecord(&s.head).Length - uint32(s.nhead)
	}
	return 0
}

// abandon forgets the record that is being read.
func (s *Scanner) abandon() {
	s.nhead, s.within, s.keep, s.rest, s.pad = 0, false, false, 0, 0
}

// readRecords takes bytes of one page behind its header, and returns what is left of them behind a switch.
func (s *Scanner) readRecords(p []byte) []byte {
	for len(p) > 0 && s.err == nil && s.switched == 0 {
		if s.within {
			p = s.readBody(p)
			continue
		}
		if s.nhead == 0 && len(p) >= RecordHeaderSize {
			s.pos += RecordHeaderSize
			s.beginRecord((*[RecordHeaderSize]byte)(p), s.pos-RecordHeaderSize)
			p = p[RecordHeaderSize:]
			continue
		}
		p = s.readHead(p)
	}
	return p
}

// readHead collects a record header that is cut by the end of a page or of what was fed. The length, which comes
// first, never is cut by a page.
func (s *Scanner) readHead(p []byte) []byte {
	if s.nhead == 0 {
		s.cur.Start = s.pos
		s.head = [RecordHeaderSize]byte{}
	}
	n := copy(s.head[s.nhead:], p)
	s.nhead += n
	s.pos += LSN(n)
	if s.nhead == RecordHeaderSize {
		s.nhead = 0
		s.beginRecord(&s.head, s.cur.Start)
	} else if s.nhead >= 4 {
		s.checkLength(parseRecord(&s.head).Length)
	}
	return p[n:]
}

func (s *Scanner) checkLength(n uint32) bool {
	switch {
	case n == 0:
		s.end(true, "there is no further record")
	case n < RecordHeaderSize || n > maxRecord:
		s.end(false, "a record cannot have %d bytes", n)
	default:
		return true
	}
	return false
}

func (s *Scanner) beginRecord(b *[RecordHeaderSize]byte, start LSN) {
	r := parseRecord(b)
	r.Start = start
	if !s.checkLength(r.Length) {
		return
	}
	if s.last.Start != 0 && r.Prev != s.last.Start || r.Prev >= start {
		s.end(false, "the record at %s follows one at %s, the one before is at %s", start, r.Prev, s.last.Start)
		return
	}
	s.cur, s.within, s.crc = r, true, 0
	s.rest = r.Length - RecordHeaderSize
	s.pad = uint32(align(uint64(r.Length))) - r.Length
	s.keep = s.o.Event != nil && r.kind() != 0 || r.Manager == managerXLOG && r.Info&0xF0 == infoSwitch
	if s.o.Verify {
		s.head = *b
	}
	if s.keep {
		s.body = s.body[:0]
	}
	if s.rest == 0 && s.pad == 0 {
		s.endRecord(nil)
	}
}

// maxBody is how much is kept of a record that becomes an event: far more than a commit with a million
// subtransactions has.
const maxBody = 16 << 20

// readBody takes what is there of the body and its padding.
func (s *Scanner) readBody(p []byte) []byte {
	n := min(uint32(len(p)), s.rest)
	part := p[:n]
	s.rest -= n
	if s.o.Verify && s.cur.Start != 0 {
		s.crc = crc32.Update(s.crc, castagnoli, part)
	}
	padding := min(uint32(len(p))-n, s.pad)
	s.pad -= padding
	s.pos += LSN(n + padding)
	p = p[n+padding:]
	if s.rest == 0 && s.pad == 0 {
		s.endRecord(part)
	} else if s.keep && len(s.body) < maxBody {
		s.body = append(s.body, part...)
	}
	return p
}

// endRecord looks at a record of which all was seen; tail is the end of its body, what is before that was kept.
func (s *Scanner) endRecord(tail []byte) {
	s.within = false
	if s.cur.Start == 0 {
		s.boundary = s.pos
		s.stop()
		return
	}
	if s.o.Verify && s.cur.sum(s.crc, s.head[:]) != s.cur.Sum {
		s.end(false, "the record at %s has a wrong checksum", s.cur.Start)
		return
	}
	if !s.keep {
		s.complete()
		return
	}
	size := int(s.cur.Length - RecordHeaderSize)
	if len(s.body) > 0 {
		if len(s.body)+len(tail) == size {
			s.body = append(s.body, tail...)
		}
		tail = s.body
	}
	if s.cur.Manager == managerXLOG && s.cur.Info&0xF0 == infoSwitch {
		s.skipRest()
		return
	}
	e, err := parseEvent(s.cur, tail, len(tail) < size, s.version)
	if err != nil {
		s.end(false, "%s", err)
		return
	}
	if s.complete(); s.err == nil {
		e.Record = s.last
		s.o.Event(e)
	}
}

// skipRest makes the rest of the segment part of the switch.
func (s *Scanner) skipRest() {
	if s.o.SegmentSize == 0 {
		s.end(false, "a segment ends here, and its size is not known")
		return
	}
	next := (s.pos + LSN(s.o.SegmentSize) - 1).SegmentStart(s.o.SegmentSize)
	if next == s.pos {
		s.complete()
		return
	}
	s.switched = next
}

// complete makes the record that was read the last one.
func (s *Scanner) complete() {
	s.cur.End = s.pos
	if s.limit != 0 && s.pos > s.limit {
		s.err = errLimit
		return
	}
	s.last, s.boundary = s.cur, s.pos
	if s.o.Each != nil {
		s.o.Each(s.last)
	}
	if s.o.Event != nil && s.last.Manager == managerXLOG && s.last.Info&0xF0 == infoSwitch {
		s.o.Event(Event{Kind: SegmentSwitch, Record: s.last})
	}
}

func (s *Scanner) stop() {
	if s.limit != 0 && s.boundary > s.limit {
		s.boundary, s.err = 0, errLimit
	}
}
