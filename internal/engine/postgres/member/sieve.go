package member

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// sieve stands between pg_rewind and the server that it reads from. pg_rewind copies all log that lies there, also what the standby will
// stream anyway and files that are only kept for reuse: gigabytes, where what has to be copied is small. So the list of files that it asks
// for is passed on without the segments behind the fork. Everything else passes as it is.
//
// What is left out is streamed when the server starts, as for any standby: nothing rests on the choice but time.
type sieve struct {
	l    net.Listener
	conf *pgconn.Config
	size uint64
	fork wal.LSN // segments that begin behind the one of the fork are left out
	left int     // segments that were
}

// openSieve listens on a socket in a new folder, which belongs to the server's user.
func (s *Server) openSieve(member string, fork wal.LSN, size uint64) (v *sieve, conninfo string, err error) {
	conf, err := pgconn.ParseConfig(s.c.Members[member] + " dbname=postgres")
	if err != nil {
		return nil, "", fmt.Errorf("read how %s is reached: it is not a conninfo", member)
	}
	dir, err := os.MkdirTemp("", "backstay-") // a socket's path is short
	if err != nil {
		return nil, "", err
	}
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err == nil {
		if err = s.user.Give(dir); err != nil {
			l.Close()
		}
	}
	if err != nil {
		return nil, "", errors.Join(err, os.RemoveAll(dir))
	}
	return &sieve{l: l, conf: conf, size: size, fork: fork.SegmentStart(size)}, "host=" + quoted(dir) + " port=5432 user=" + quoted(conf.User) + " dbname=postgres sslmode=disable", nil
}

func (v *sieve) close() {
	v.l.Close()
	_ = os.RemoveAll(filepath.Dir(v.l.Addr().String())) // a socket is left at worst
}

// serve carries one connection at a time, until the listener is closed.
func (v *sieve) serve(ctx context.Context) {
	for {
		c, err := v.l.Accept()
		if err != nil {
			return
		}
		_ = v.carry(ctx, c) // pg_rewind says what it misses
		c.Close()
	}
}

func (v *sieve) carry(ctx context.Context, c net.Conn) error {
	server, err := pgconn.ConnectConfig(ctx, v.conf)
	if err != nil {
		return err
	}
	h, err := server.Hijack()
	if err != nil {
		return err
	}
	defer h.Conn.Close()
	stop := context.AfterFunc(ctx, func() { h.Conn.Close(); c.Close() })
	defer stop()
	if err := greet(c, h); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(h.Conn, c) // its end ends the other direction
		h.Conn.Close()
	}()
	return v.pass(h.Conn, c)
}

// greet lets a client in, as the server let us in.
func greet(c net.Conn, h *pgconn.HijackedConn) error {
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	b := pgproto3.NewBackend(c, c)
	for {
		m, err := b.ReceiveStartupMessage()
		if err != nil {
			return err
		}
		if _, ok := m.(*pgproto3.StartupMessage); ok {
			break
		}
		if _, err := c.Write([]byte("N")); err != nil { // no encryption within the host
			return err
		}
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	b.Send(&pgproto3.AuthenticationOk{})
	for name, value := range h.ParameterStatuses {
		b.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	return b.Flush()
}

// maxMessage is far above what pg_rewind asks for at once, 1 MiB of a file.
const maxMessage = 64 << 20

// pass hands on what the server says, without the rows of a list of files that are left out. There is one such list; what follows, gigabytes perhaps, is
// not looked at.
func (v *sieve) pass(server io.Reader, client io.Writer) error {
	message, files := make([]byte, 5), false
	for {
		if _, err := io.ReadFull(server, message[:5]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint32(message[1:])) - 4
		if n < 0 || n > maxMessage {
			return errors.New("a message has no length that a server gives it")
		}
		message = slices.Grow(message[:5], n)[:5+n]
		body := message[5:]
		if _, err := io.ReadFull(server, body); err != nil {
			return err
		}
		switch message[0] {
		case 'T':
			files = listsFiles(body)
		case 'D':
			if files && v.leaves(body) {
				v.left++
				continue
			}
		}
		if _, err := client.Write(message); err != nil {
			return err
		}
		if files && message[0] == 'C' {
			if _, err := io.CopyBuffer(client, server, make([]byte, 256<<10)); err != nil {
				return err
			}
			return io.EOF
		}
	}
}

// listsFiles reports whether a RowDescription is of pg_rewind's list: a path, which has no name, and these.
func listsFiles(body []byte) bool {
	var names []string
	for rest := body[min(2, len(body)):]; len(rest) > 0; {
		name, more, ok := bytes.Cut(rest, []byte{0})
		if !ok || len(more) < 18 {
			return false
		}
		names = append(names, string(name))
		rest = more[18:]
	}
	return len(names) == 4 && strings.Join(names[1:], " ") == "size isdir link_target"
}

// leaves reports whether a row's path is a segment behind the fork.
func (v *sieve) leaves(row []byte) bool {
	if len(row) < 6 {
		return false
	}
	n := int(int32(binary.BigEndian.Uint32(row[2:])))
	if n < 0 || len(row) < 6+n {
		return false
	}
	name, ok := strings.CutPrefix(string(row[6:6+n]), "pg_wal/")
	if !ok {
		return false
	}
	_, start, err := wal.ParseSegmentName(name, v.size)
	return err == nil && start > v.fork
}
