package postgres

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// greeting is what a server says between the login and its first ReadyForQuery.
type greeting struct {
	statuses []byte // ParameterStatus messages, as they came
	key      []byte // body of BackendKeyData: process and secret; nil if there is none
	rest     []byte // what came behind the ReadyForQuery
}

// login logs in at a server with a client's key.
func login(conn net.Conn, p parameters, key credential) (*greeting, error) {
	if _, err := conn.Write(p.packet()); err != nil {
		return nil, fmt.Errorf("log in at the server: %w", err)
	}
	r := bufio.NewReaderSize(conn, 2048)
	if err := prove(conn, r, key); err != nil {
		return nil, err
	}
	return welcome(r)
}

// prove goes through the authentication.
func prove(w io.Writer, r io.Reader, key credential) error {
	c := response{credential: key}
	for {
		kind, body, err := readFrame(r)
		switch {
		case err != nil:
			return fmt.Errorf("log in at the server: %w", err)
		case kind == 'E':
			return parseError(body)
		case kind == 'N', kind == 'v':
			continue
		case kind != 'R' || len(body) < 4:
			return errors.New("log in at the server: it does not speak as PostgreSQL does")
		}
		var answer []byte
		switch code, data := binary.BigEndian.Uint32(body), string(body[4:]); code {
		case 0:
			return nil
		case 10:
			if !strings.Contains("\x00"+data, "\x00"+mechanism+"\x00") {
				return errors.New("log in at the server: it does not offer " + mechanism)
			}
			first := c.begin()
			answer = frame(nil, 'p', text(mechanism), binary.BigEndian.AppendUint32(nil, uint32(len(first))), []byte(first))
		case 11:
			last, err := c.prove(data)
			if err != nil {
				return err
			}
			answer = frame(nil, 'p', []byte(last))
		case 12:
			if !c.signed(data) {
				return errors.New("log in at the server: it does not know the password's verifier")
			}
			continue
		default:
			return fmt.Errorf("log in at the server: it asks for a password in a way (%d) in which the client's login can not be repeated", code)
		}
		if _, err := w.Write(answer); err != nil {
			return fmt.Errorf("log in at the server: %w", err)
		}
	}
}

// welcome reads up to the first ReadyForQuery.
func welcome(r *bufio.Reader) (*greeting, error) {
	g := &greeting{}
	for {
		kind, body, err := readFrame(r)
		if err != nil {
			return nil, fmt.Errorf("log in at the server: %w", err)
		}
		switch kind {
		case 'S':
			g.statuses = frame(g.statuses, 'S', body)
		case 'K':
			g.key = body
		case 'E':
			return nil, parseError(body)
		case 'Z':
			g.rest, _ = r.Peek(r.Buffered())
			g.rest = append([]byte(nil), g.rest...)
			return g, nil
		}
	}
}

// authenticate has the client prove itself, and gives the key that it shows.
func (c *Carrier) authenticate(ctx context.Context, client net.Conn, role string, v verifier) (key credential, err error) {
	x := exchange{verifier: v}
	if _, err = client.Write(frame(nil, 'R', binary.BigEndian.AppendUint32(nil, 10), text(mechanism), []byte{0})); err != nil {
		return key, err
	}
	kind, body, err := readFrame(client)
	if err != nil {
		return key, err
	}
	name, rest, ok := cut(body)
	if kind != 'p' || !ok || name != mechanism || len(rest) < 4 {
		return key, errScram
	}
	challenge, err := x.challenge(string(rest[4:]))
	if err != nil {
		return key, err
	}
	if _, err = client.Write(frame(nil, 'R', binary.BigEndian.AppendUint32(nil, 11), []byte(challenge))); err != nil {
		return key, err
	}
	if kind, body, err = readFrame(client); err != nil {
		return key, err
	} else if kind != 'p' {
		return key, errScram
	}
	answer, key, err := x.finish(string(body))
	if err != nil {
		return key, err
	}
	_, err = client.Write(frame(nil, 'R', binary.BigEndian.AppendUint32(nil, 12), []byte(answer)))
	return key, err
}
