package wal

import (
	"fmt"
	"strconv"
	"strings"
)

// DefaultSegmentSize is the size of a segment file unless initdb was told otherwise.
const DefaultSegmentSize = 16 << 20

// ValidSegmentSize reports whether a server can have segments of n bytes.
func ValidSegmentSize(n uint64) bool { return n >= 1<<20 && n <= 1<<30 && n&(n-1) == 0 }

// SegmentName is the name of the file that holds the byte at l on a timeline, where segments have size bytes.
func SegmentName(timeline uint32, l LSN, size uint64) string {
	number, perID := uint64(l)/size, uint64(1)<<32/size
	return fmt.Sprintf("%08X%08X%08X", timeline, number/perID, number%perID)
}

// ParseSegmentName gives the timeline and the first position of a segment file.
func ParseSegmentName(name string, size uint64) (timeline uint32, start LSN, err error) {
	if len(name) != 24 || !isUpperHex(name) || !ValidSegmentSize(size) {
		return 0, 0, fmt.Errorf("parse segment name %q: want 24 hexadecimal digits", name)
	}
	t, _ := strconv.ParseUint(name[:8], 16, 32)
	id, _ := strconv.ParseUint(name[8:16], 16, 32)
	n, _ := strconv.ParseUint(name[16:], 16, 32)
	if n >= 1<<32/size {
		return 0, 0, fmt.Errorf("parse segment name %q: there is no such segment of %d bytes", name, size)
	}
	return uint32(t), LSN(id<<32 + n*size), nil
}

// HistoryName is the name of a timeline's history file.
func HistoryName(timeline uint32) string { return fmt.Sprintf("%08X.history", timeline) }

// ParseHistoryName gives the timeline that a history file belongs to.
func ParseHistoryName(name string) (timeline uint32, err error) {
	digits, ok := strings.CutSuffix(name, ".history")
	if !ok || len(digits) != 8 || !isUpperHex(digits) {
		return 0, fmt.Errorf("parse history file name %q: want 00000002.history", name)
	}
	t, _ := strconv.ParseUint(digits, 16, 32)
	return uint32(t), nil
}

func isUpperHex(s string) bool {
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// SegmentStart is the first position of the segment that holds l, where segments have size bytes.
func (l LSN) SegmentStart(size uint64) LSN { return l &^ LSN(size-1) }
