package proxy

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// Size of the buffers in which bytes are carried. A buffer is held only while there are bytes in it: a connection that
// waits has none.
const Size = 32 << 10

var buffers = sync.Pool{New: func() any { return &Buffer{} }}

// Buffer holds bytes on their way.
type Buffer struct {
	n    int
	data [Size]byte
}

// Bytes are what was read.
func (b *Buffer) Bytes() []byte { return b.data[:b.n] }

// Release gives the buffer back; its bytes are not to be used any more.
func (b *Buffer) Release() { buffers.Put(b) }

// Reader reads from a connection into buffers that it takes only when there is something to read.
type Reader struct {
	from net.Conn
	raw  syscall.RawConn // nil if it has none: encrypted, or a kind of connection that is not polled

	got *Buffer // of the call under way
	err error
	try func(fd uintptr) bool

	take func([]byte) bool // of Each
	all  func(fd uintptr) bool
}

// NewReader makes the reader of conn. It is for one goroutine at a time.
func NewReader(conn net.Conn) *Reader {
	r := &Reader{from: conn}
	if c, ok := conn.(syscall.Conn); ok && polled {
		if raw, err := c.SyscallConn(); err == nil {
			r.raw = raw
			r.try, r.all = r.attempt, r.attempts
		}
	}
	return r
}

// Read gives what is there to read, at least one byte, and io.EOF at the end.
func (r *Reader) Read() (*Buffer, error) {
	if r.raw == nil {
		b := buffers.Get().(*Buffer)
		n, err := r.from.Read(b.data[:])
		if b.n = n; n > 0 {
			return b, nil
		}
		b.Release()
		if err == nil {
			err = io.ErrNoProgress
		}
		return nil, err
	}
	r.got, r.err = nil, nil
	if err := r.raw.Read(r.try); err != nil {
		return nil, err
	}
	return r.got, r.err
}

// attempt reads once; false has it called again when there is something.
func (r *Reader) attempt(fd uintptr) bool {
	b := buffers.Get().(*Buffer)
	n, wait, err := readSome(fd, b.data[:])
	if n > 0 {
		b.n = n
		r.got = b
		return true
	}
	b.Release()
	r.err = err
	return !wait
}

// Each has take called with what comes, until take returns false (the error is nil then) or the connection fails. take
// must not read the connection.
//
// It spares the call that finds nothing to read, which Read makes each time before it waits: a short read has emptied the
// connection, and what comes later is announced. Only an end that came in the same instant as the last bytes is not: it
// shows when something is sent, or to the probes of a silent connection.
func (r *Reader) Each(take func([]byte) bool) error {
	if r.raw == nil {
		for {
			b, err := r.Read()
			if err != nil {
				return err
			}
			more := take(b.Bytes())
			b.Release()
			if !more {
				return nil
			}
		}
	}
	r.take, r.err = take, nil
	if err := r.raw.Read(r.all); err != nil {
		return err
	}
	return r.err
}

// attempts reads until nothing is left; false has it called again when there is something.
func (r *Reader) attempts(fd uintptr) bool {
	for {
		b := buffers.Get().(*Buffer)
		n, wait, err := readSome(fd, b.data[:])
		if n == 0 {
			b.Release()
			r.err = err
			return !wait
		}
		more := r.take(b.data[:n])
		b.Release()
		if !more {
			return true
		}
		if n < len(b.data) {
			return false
		}
	}
}
