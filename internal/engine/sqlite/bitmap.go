package sqlite

// bitmap is a set of pages, in chunks so that it costs what is in it and not what a number in a file claims.
type bitmap map[uint32]*[bitmapChunk / 64]uint64

const bitmapChunk = 1 << 15

// has reports whether page n is in the set.
func (b bitmap) has(n uint32) bool {
	c := b[n/bitmapChunk]
	return c != nil && c[n%bitmapChunk/64]&(1<<(n%64)) != 0
}

// add puts page n in and reports whether it was not there.
func (b bitmap) add(n uint32) bool {
	c := b[n/bitmapChunk]
	if c == nil {
		c = new([bitmapChunk / 64]uint64)
		b[n/bitmapChunk] = c
	}
	word, bit := &c[n%bitmapChunk/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}
