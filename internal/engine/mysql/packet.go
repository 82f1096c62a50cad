package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// longest is how long a packet may be that is read; a result may have so many rows.
const (
	longest = 1 << 20
	most    = 1000
)

var errPacket = errors.New("read a packet: it is not as the protocol has it")

// ServerError is a refusal of the server.
type ServerError struct {
	Code uint16
	Text string
}

func (e *ServerError) Error() string { return fmt.Sprintf("the server says: %s (%d)", e.Text, e.Code) }

// conn is a connection to a server.
type conn struct {
	net.Conn
	seq byte // of the next packet
}

func (c *conn) read() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if n == 0 || n > longest {
		return nil, errPacket
	}
	c.seq = head[3] + 1
	body := make([]byte, n)
	if _, err := io.ReadFull(c, body); err != nil {
		return nil, err
	}
	if body[0] == 0xff {
		return nil, refusal(body)
	}
	return body, nil
}

func (c *conn) write(body []byte) error {
	head := []byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), c.seq}
	c.seq++
	_, err := c.Write(append(head, body...))
	return err
}

// refusal reads an ERR packet: 0xff, a code, and a text that begins with # and a state of five letters once the login has begun.
func refusal(b []byte) error {
	if len(b) < 3 {
		return errPacket
	}
	e := &ServerError{Code: binary.LittleEndian.Uint16(b[1:])}
	b = b[3:]
	if len(b) >= 6 && b[0] == '#' {
		b = b[6:]
	}
	e.Text = string(b)
	return e
}

// within has what is read and written end with ctx, until stop is called.
func (c *conn) within(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
}

// cause is why a call ended: that ctx did says more than the deadline that it set.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// result is what a query gave, as text; NULL is "NULL".
type result struct {
	names  []string
	values [][]string
}

// get is the value in the first row of the column that has one of the names.
func (r result) get(names ...string) string {
	for i, have := range r.names {
		for _, name := range names {
			if have == name && len(r.values) > 0 && i < len(r.values[0]) {
				return r.values[0][i]
			}
		}
	}
	return ""
}

// query asks one question.
func (c *conn) query(ctx context.Context, text string) (result, error) {
	defer c.within(ctx)()
	c.seq = 0
	if err := c.write(append([]byte{3}, text...)); err != nil {
		return result{}, cause(ctx, err)
	}
	r, err := readResult(c.read)
	return r, cause(ctx, err)
}

// readResult reads a text result: the number of columns, their definitions, an EOF packet, the rows, an EOF packet.
func readResult(read func() ([]byte, error)) (r result, err error) {
	b, err := read()
	if err != nil {
		return r, err
	}
	if b[0] == 0 { // OK: no rows
		return r, nil
	}
	columns, _, ok := number(b)
	if !ok || columns == 0 || columns > most {
		return r, errPacket
	}
	for range columns {
		if b, err = read(); err != nil {
			return r, err
		}
		name, ok := column(b)
		if !ok {
			return r, errPacket
		}
		r.names = append(r.names, name)
	}
	for ended := 0; ; {
		if b, err = read(); err != nil {
			return r, err
		}
		if b[0] == 0xfe && len(b) < 9 {
			if ended++; ended == 2 {
				return r, nil
			}
			continue
		}
		row, ok := cells(b, len(r.names))
		if ended == 0 || !ok || len(r.values) == most {
			return r, errPacket
		}
		r.values = append(r.values, row)
	}
}

// column is the name in a definition: the fifth of its strings.
func column(b []byte) (name string, ok bool) {
	for range 5 {
		if name, b, _, ok = text(b); !ok {
			return "", false
		}
	}
	return name, true
}

func cells(b []byte, n int) (row []string, ok bool) {
	for range n {
		cell, rest, null, ok := text(b)
		if !ok {
			return nil, false
		}
		if null {
			cell = "NULL"
		}
		row, b = append(row, cell), rest
	}
	return row, len(b) == 0
}

// text reads a string with its length before it.
func text(b []byte) (s string, rest []byte, null, ok bool) {
	if len(b) > 0 && b[0] == 0xfb {
		return "", b[1:], true, true
	}
	n, rest, ok := number(b)
	if !ok || n > uint64(len(rest)) {
		return "", nil, false, false
	}
	return string(rest[:n]), rest[n:], false, true
}

// number reads an integer of one, three, four or nine bytes.
func number(b []byte) (n uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	size := map[byte]int{0xfc: 2, 0xfd: 3, 0xfe: 8}[b[0]]
	switch {
	case b[0] < 0xfb:
		return uint64(b[0]), b[1:], true
	case size == 0 || len(b) < 1+size:
		return 0, nil, false
	}
	for i := size; i > 0; i-- {
		n = n<<8 | uint64(b[i])
	}
	return n, b[1+size:], true
}
