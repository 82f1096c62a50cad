package replication

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Stream is log that the server sends as it is flushed.
type Stream struct {
	w     *wire
	ended *EndOfTimeline // at once: there is nothing to send
}

// EndOfTimeline says that the server has sent all of a timeline that it has left, and where it went on.
type EndOfTimeline struct {
	Next uint32
	At   wal.LSN
}

func (e *EndOfTimeline) Error() string {
	return fmt.Sprintf("read stream: the timeline ends at %s; timeline %d goes on from there", e.At, e.Next)
}

// StreamOptions say what is to be sent.
type StreamOptions struct {
	Slot     string // "" for none
	From     wal.LSN
	Timeline uint32
}

// Stream begins to stream. The connection is the stream's from then on; it ends with ctx.
func (c *Conn) Stream(ctx context.Context, o StreamOptions) (*Stream, error) {
	command := "START_REPLICATION "
	if o.Slot != "" {
		quoted, err := slotName(o.Slot)
		if err != nil {
			return nil, err
		}
		command += "SLOT " + quoted + " "
	}
	command += fmt.Sprintf("PHYSICAL %s TIMELINE %d", o.From, o.Timeline)
	w, err := c.take(ctx)
	if err != nil {
		return nil, err
	}
	s := &Stream{w: w}
	if err := s.start(command); err != nil {
		w.close()
		return nil, err
	}
	return s, nil
}

func (s *Stream) start(command string) error {
	if err := s.w.query(command); err != nil {
		return err
	}
	m, err := s.w.receive()
	if err != nil {
		return err
	}
	switch m.(type) {
	case *pgproto3.CopyBothResponse:
		return nil
	case *pgproto3.RowDescription: // the stream would be empty, and is left out
		s.ended, err = s.next()
		return err
	}
	return unexpected(m)
}

// Receive waits for the next message. Its data is valid until the next call. At the end of a timeline that the server
// has left it returns an *EndOfTimeline; when the server shuts down, an error.
func (s *Stream) Receive() (Message, error) {
	if s.ended != nil {
		return Message{}, s.ended
	}
	for {
		m, err := s.w.receive()
		if err != nil {
			return Message{}, err
		}
		switch m := m.(type) {
		case *pgproto3.CopyData:
			return parseMessage(m.Data)
		case *pgproto3.CopyDone:
			return Message{}, s.finish()
		case *pgproto3.CommandComplete: // a server that shuts down ends the stream with it
			return Message{}, ErrShutdown
		default:
			return Message{}, unexpected(m)
		}
	}
}

// ErrShutdown says that the server shut down and has sent all that it had.
var ErrShutdown = errors.New("read stream: the server is shutting down")

// finish answers the server's CopyDone and reads what follows it.
func (s *Stream) finish() error {
	if err := s.write([]byte{'c', 0, 0, 0, 4}); err != nil {
		return err
	}
	for {
		m, err := s.w.receive()
		if err != nil {
			return err
		}
		switch m.(type) {
		case *pgproto3.CopyData: // an answer to a status update that was under way
		case *pgproto3.RowDescription:
			if s.ended, err = s.next(); err != nil {
				return err
			}
			return s.ended
		case *pgproto3.CommandComplete:
			return ErrShutdown
		default:
			return unexpected(m)
		}
	}
}

// next reads the row that says where the server went on.
func (s *Stream) next() (*EndOfTimeline, error) {
	rows, err := s.w.table()
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 || len(rows[0]) != 2 {
		return nil, errors.New("read stream: the answer at the end of the timeline has another form")
	}
	timeline, err := strconv.ParseUint(rows[0][0], 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read stream: next timeline %q is not a number", rows[0][0])
	}
	at, err := wal.ParseLSN(rows[0][1])
	if err != nil {
		return nil, fmt.Errorf("read stream: %w", err)
	}
	return &EndOfTimeline{Next: uint32(timeline), At: at}, nil
}

// confirmTimeout is how long a confirmation may wait for the server to take it.
const confirmTimeout = 30 * time.Second

// Confirm tells the server how far the log is safe. It may be called from any goroutine.
func (s *Stream) Confirm(st Status) error {
	var b [5 + statusLength]byte
	return s.write(appendStatus(b[:0], st))
}

func (s *Stream) write(b []byte) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.done {
		return errors.New("write to stream: it is closed")
	}
	if err := s.w.conn.SetWriteDeadline(time.Now().Add(confirmTimeout)); err != nil {
		return err
	}
	_, err := s.w.conn.Write(b)
	return err
}

// Close ends the stream and its connection. It may be called from any goroutine, and again; a Receive that waits
// returns an error.
func (s *Stream) Close() error { return s.w.close() }
