package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The codes in place of a version, of PostgreSQL's src/include/libpq/pqcomm.h.
const (
	codeCancel = 80877102
	codeTLS    = 80877103
	codeGSS    = 80877104
)

// maxStartup is the length of a startup packet that servers take.
const maxStartup = 10000

// startup is the first packet of a connection.
type startup struct {
	code uint32
	body []byte // what follows the code
}

// readStartup reads a startup packet of which the bytes in first were read already.
func readStartup(r io.Reader, first []byte) (startup, error) {
	var head [8]byte
	n := copy(head[:], first)
	if _, err := io.ReadFull(r, head[n:]); err != nil {
		return startup{}, fmt.Errorf("read the startup packet: %w", err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 8 || size > maxStartup {
		return startup{}, errors.New("read the startup packet: its length is impossible")
	}
	s := startup{code: binary.BigEndian.Uint32(head[4:]), body: make([]byte, size-8)}
	if _, err := io.ReadFull(r, s.body); err != nil {
		return startup{}, fmt.Errorf("read the startup packet: %w", err)
	}
	return s, nil
}

// parameters are the names and values of a startup packet, in their order.
type parameters []struct{ name, value string }

func (p parameters) get(name string) string {
	for _, e := range p {
		if e.name == name {
			return e.value
		}
	}
	return ""
}

// parameters reads a packet of version 3. extras are the protocol's own options, that begin with _pq_.
func (s startup) parameters() (all parameters, extras []string, err error) {
	for b := s.body; ; {
		name, rest, ok := cut(b)
		if ok && name == "" && len(rest) == 0 {
			break
		}
		value, rest, ok2 := cut(rest)
		if !ok || !ok2 || name == "" {
			return nil, nil, errors.New("read the startup packet: it does not end as one does")
		}
		if strings.HasPrefix(name, "_pq_.") {
			extras = append(extras, name)
		} else {
			all = append(all, struct{ name, value string }{name, value})
		}
		b = rest
	}
	if all.get("user") == "" {
		return nil, nil, errors.New("read the startup packet: it names no user")
	}
	return all, extras, nil
}

// packet is the startup packet that asks a server for version 3.0.
func (p parameters) packet() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 4, 256), 3<<16)
	for _, e := range p {
		b = append(append(b, text(e.name)...), text(e.value)...)
	}
	b = append(b, 0)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// negotiate is a NegotiateProtocolVersion: version 3.0 is spoken, and none of the extras.
func negotiate(extras []string) []byte {
	body := binary.BigEndian.AppendUint32(nil, 0)
	body = binary.BigEndian.AppendUint32(body, uint32(len(extras)))
	for _, e := range extras {
		body = append(body, text(e)...)
	}
	return frame(nil, 'v', body)
}

// readFrame reads one message of a login, which are small.
func readFrame(r io.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n < 4 || n > 64<<10 {
		return 0, nil, errFrame
	}
	body = make([]byte, n-4)
	_, err = io.ReadFull(r, body)
	return head[0], body, err
}
