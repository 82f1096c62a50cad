package sqlite

import (
	"bufio"
	"io"

	"github.com/superfly/ltx"
)

// newDecoder reads an LTX file in order, without its page index.
func newDecoder(r io.Reader) *ltx.Decoder {
	dec := ltx.NewDecoder(bufio.NewReaderSize(r, 64<<10))
	dec.SetRetainPageIndex(false)
	return dec
}
