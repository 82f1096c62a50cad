// Package directio reads and writes large files past the page cache, so that a backup neither pushes the
// application's data out of memory nor pays for copying every byte twice.
//
// Requests whose offset, length and memory are multiples of Align go to the device directly (O_DIRECT). All others,
// and all of them where the file system refuses direct requests, are made through the page cache, which is told to
// let go of the pages again. What the page cache has already is read from there and left there: the application put
// it there, and may have it changed before the disk does. Callers see no difference but the time; Direct tells which
// way a file went.
//
// Nothing here is shared between goroutines except File, which may be read from several at once.
package directio

import "unsafe"

// Align is what offsets, lengths and memory of a direct request are multiples of, in bytes. It covers the logical
// block size of every disk in use.
const Align = 4096

// Block returns n bytes of zeroed memory that begin at a multiple of Align and have no capacity beyond n.
func Block(n int) []byte {
	b := make([]byte, n+Align)
	skip := 0
	if r := int(uintptr(unsafe.Pointer(&b[0])) % Align); r != 0 {
		skip = Align - r
	}
	return b[skip : skip+n : skip+n]
}

// aligned reports whether p at off can be the subject of a direct request.
func aligned(p []byte, off int64) bool {
	return len(p) > 0 && len(p)%Align == 0 && off%Align == 0 && uintptr(unsafe.Pointer(&p[0]))%Align == 0
}
