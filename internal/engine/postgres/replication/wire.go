package replication

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// wire is a connection that was taken from pgconn, to read and write it at the same time.
type wire struct {
	conn net.Conn
	fe   *pgproto3.Frontend // of the goroutine that reads

	mu   sync.Mutex // of whoever writes to conn
	done bool

	stop func() bool // ends the watch over the context
}

// take makes c's connection a wire that breaks when ctx ends. c can do nothing else from then on.
func (c *Conn) take(ctx context.Context) (*wire, error) {
	h, err := c.pg.Hijack()
	if err != nil {
		return nil, err
	}
	w := &wire{conn: h.Conn, fe: h.Frontend}
	w.mu.Lock() // close needs stop
	defer w.mu.Unlock()
	w.stop = context.AfterFunc(ctx, func() { w.close() })
	return w, nil
}

// goodbye is how long the server has to take our last word.
const goodbye = time.Second

// close says goodbye and closes the connection. It may be called from any goroutine, and again.
func (w *wire) close() error {
	// A writer that is stuck holds the lock; the deadline frees it.
	_ = w.conn.SetWriteDeadline(time.Now().Add(goodbye))
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return nil
	}
	w.done = true
	w.stop()
	_, _ = w.conn.Write([]byte{'X', 0, 0, 0, 4})
	return w.conn.Close()
}

// query sends a simple query.
func (w *wire) query(sql string) error {
	w.fe.Send(&pgproto3.Query{String: sql})
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fe.Flush()
}

// receive gives the next message that matters. The server's errors are *pgconn.PgError.
func (w *wire) receive() (pgproto3.BackendMessage, error) {
	for {
		m, err := w.fe.Receive()
		if err == io.EOF { // means the end of a backup to its reader
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		switch m := m.(type) {
		case *pgproto3.NoticeResponse, *pgproto3.ParameterStatus:
		case *pgproto3.ErrorResponse:
			return nil, pgconn.ErrorResponseToPgError(m)
		default:
			return m, nil
		}
	}
}

// table reads what follows a RowDescription, up to and including the CommandComplete.
func (w *wire) table() ([][]string, error) {
	var rows [][]string
	for {
		m, err := w.receive()
		if err != nil {
			return nil, err
		}
		switch m := m.(type) {
		case *pgproto3.DataRow:
			var row []string
			for _, v := range m.Values {
				row = append(row, string(v))
			}
			rows = append(rows, row)
		case *pgproto3.CommandComplete:
			return rows, nil
		default:
			return nil, unexpected(m)
		}
	}
}

func unexpected(m pgproto3.BackendMessage) error {
	return fmt.Errorf("read from server: a message of type %T is not expected here", m)
}
