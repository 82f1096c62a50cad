package archive

import "math/bits"

// tip is a small segment that stands in a repository until a full one covers it.
type tip struct {
	span
	name string
}

// fanOut is how many tips of one level stand side by side before they become one of the next level.
const fanOut = 16

// level says how large a tip is: 0 up to 4 KiB, and one more for each factor of fanOut.
func level(bytes int64) int {
	return (max(bits.Len64(uint64(max(bytes, 1)-1)), 12) - 12 + 3) / 4
}

// mergeFrom says which of the tips a new one of n bytes takes in: those from the index it returns on. Of each level at
// most fanOut stand after the last larger one, and each byte is rewritten about once a level. A tip after a hole in
// time is not joined to those before it.
func mergeFrom(tips []tip, n int64) int {
	from := len(tips)
	for {
		run, size, l := from, n, level(n)
		for run > 0 && level(tips[run-1].bytes) <= l && (run == len(tips) || !tips[run].held) {
			run--
			size += tips[run].bytes
		}
		if from-run < fanOut-1 {
			return from
		}
		from, n = run, size
	}
}
