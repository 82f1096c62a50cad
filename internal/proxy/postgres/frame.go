package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxFrame is the largest message that PostgreSQL takes or sends: PQ_LARGE_MESSAGE_LIMIT and its own type byte.
const maxFrame = 1 << 30

var errFrame = errors.New("read a message: its length is impossible")

// piece is a part of one message, as it lies in the bytes that were read.
type piece struct {
	kind        byte
	first, last bool   // of the message
	body        []byte // without type and length; may be empty
}

// walker finds messages in a stream that comes in chunks of any size. It copies nothing but a header that is split.
type walker struct {
	head [5]byte
	have int // bytes of head that came
	left int // bytes of the body that are still to come
}

// between says whether the stream stands at the border of two messages.
func (w *walker) between() bool { return w.have == 0 && w.left == 0 }

// next takes the next piece from b, which is not empty, and gives what follows it. ok is false if b ends in a header.
func (w *walker) next(b []byte) (p piece, rest []byte, ok bool, err error) {
	if w.left == 0 {
		if w.have == 0 && len(b) >= 5 {
			w.head = [5]byte(b)
			b = b[5:]
		} else {
			n := copy(w.head[w.have:], b)
			b = b[n:]
			if w.have += n; w.have < 5 {
				return p, nil, false, nil
			}
		}
		n := binary.BigEndian.Uint32(w.head[1:])
		if n < 4 || n > maxFrame {
			return p, nil, false, errFrame
		}
		w.left, w.have, p.first = int(n)-4, 0, true
	}
	p.kind = w.head[0]
	n := min(w.left, len(b))
	p.body = b[:n:n]
	w.left -= n
	p.last = w.left == 0
	return p, b[n:], true, nil
}

// frame appends a message to b.
func frame(b []byte, kind byte, body ...[]byte) []byte {
	n := 4
	for _, p := range body {
		n += len(p)
	}
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	for _, p := range body {
		b = append(b, p...)
	}
	return b
}

// text is a string as the protocol has it: with a zero byte behind it.
func text(s string) []byte { return append([]byte(s), 0) }

// ServerError is an error that a server sent.
type ServerError struct {
	Severity, Code, Message string
	raw                     []byte // the message as it came
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("%s: %s (%s)", e.Severity, e.Message, e.Code)
}

// parseError reads the body of an ErrorResponse; fields that are not there are empty.
func parseError(body []byte) *ServerError {
	e := &ServerError{raw: frame(nil, 'E', body)}
	for len(body) > 1 && body[0] != 0 {
		kind := body[0]
		v, rest, ok := cut(body[1:])
		if !ok {
			break
		}
		switch kind {
		case 'V':
			e.Severity = v
		case 'S':
			if e.Severity == "" {
				e.Severity = v
			}
		case 'C':
			e.Code = v
		case 'M':
			e.Message = v
		}
		body = rest
	}
	return e
}

// cut takes a string that ends with a zero byte.
func cut(b []byte) (s string, rest []byte, ok bool) {
	for i, c := range b {
		if c == 0 {
			return string(b[:i]), b[i+1:], true
		}
	}
	return "", nil, false
}

// fatal is an ErrorResponse that ends a session.
func fatal(code, message, hint string) []byte {
	body := append(append([]byte("SFATAL\x00VFATAL\x00C"), text(code)...), 'M')
	body = append(body, text(message)...)
	if hint != "" {
		body = append(append(body, 'H'), text(hint)...)
	}
	return frame(nil, 'E', append(body, 0))
}
