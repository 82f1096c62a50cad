package archive

import "math/bits"

// tip is a small segment that stands in a repository until a full one covers it.
type tip struct {
	span
	name string
	full bool // it ends where a full segment does
}

// room is how many bytes are left, behind the tips, until a full segment of the given size ends. A tip that ends there
// too need not be made again in two halves when the segment comes.
func room(tips []tip, segment int64) int64 {
	sum := int64(0)
	for _, t := range tips {
		if t.held {
			sum = 0
		}
		if sum += t.bytes; t.full {
			sum = 0
		}
	}
	return segment - sum%segment
}

// fanOut is how many tips of one level stand side by side before they become one of the next level.
const fanOut = 16

// level says how large a tip is: 0 up to 4 KiB, and one more for each factor of fanOut.
func level(bytes int64) int {
	return (max(bits.Len64(uint64(max(bytes, 1)-1)), 12) - 12 + 3) / 4
}

// mergeFrom says which of the tips a new one of n bytes takes in: those from the index it returns on. Of each level at
// most fanOut stand after the last larger one, and each byte is rewritten about once a level. A tip after a hole in
// time, or after the end of a full segment, is not joined to those before it.
func mergeFrom(tips []tip, n int64) int {
	from := len(tips)
	for {
		run, size, l := from, n, level(n)
		for run > 0 && level(tips[run-1].bytes) <= l && !tips[run-1].full && (run == len(tips) || !tips[run].held) {
			run--
			size += tips[run].bytes
		}
		if from-run < fanOut-1 {
			return from
		}
		from, n = run, size
	}
}
