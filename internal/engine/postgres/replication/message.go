package replication

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// Message is what the server sends inside of the stream: XLogData ('w') or a primary keepalive ('k').
type Message struct {
	Start wal.LSN   // of Data
	Data  []byte    // of XLogData; nil in a keepalive
	End   wal.LSN   // up to where the server had log to send; of a keepalive up to where it has sent it
	Time  time.Time // the server's clock when it sent this
	Reply bool      // the server wants to hear at once how far we are
}

// Lengths of the messages, without data.
const (
	dataHeader      = 1 + 8 + 8 + 8
	keepaliveLength = 1 + 8 + 8 + 1
	statusLength    = 1 + 8 + 8 + 8 + 8 + 1
)

// parseMessage reads the contents of a CopyData message. Data is a part of b.
func parseMessage(b []byte) (Message, error) {
	be := binary.BigEndian
	switch {
	case len(b) > dataHeader && b[0] == 'w':
		return Message{Start: wal.LSN(be.Uint64(b[1:])), End: wal.LSN(be.Uint64(b[9:])), Time: wal.Time(int64(be.Uint64(b[17:]))), Data: b[dataHeader:]}, nil
	case len(b) == dataHeader && b[0] == 'w': // nothing in it
		return Message{Start: wal.LSN(be.Uint64(b[1:])), End: wal.LSN(be.Uint64(b[9:])), Time: wal.Time(int64(be.Uint64(b[17:])))}, nil
	case len(b) == keepaliveLength && b[0] == 'k':
		return Message{End: wal.LSN(be.Uint64(b[1:])), Time: wal.Time(int64(be.Uint64(b[9:]))), Reply: b[17] != 0}, nil
	case len(b) == 0:
		return Message{}, fmt.Errorf("read stream: an empty message")
	}
	return Message{}, fmt.Errorf("read stream: a message %q of %d bytes is not known", b[0], len(b))
}

// Status is what the client tells: a standby status update ('r').
type Status struct {
	Written wal.LSN // everything before it was given to the operating system; for synchronous_commit = remote_write
	Flushed wal.LSN // everything before it is durable
	Time    time.Time
	Reply   bool // the server shall send a keepalive at once
}

// appendStatus appends the message with the frame of CopyData around it. What has been applied is left out: nothing
// is, and a client that waits for that must not be told otherwise.
func appendStatus(b []byte, s Status) []byte {
	be := binary.BigEndian
	b = append(b, 'd')
	b = be.AppendUint32(b, 4+statusLength)
	b = append(b, 'r')
	b = be.AppendUint64(b, uint64(s.Written))
	b = be.AppendUint64(b, uint64(s.Flushed))
	b = be.AppendUint64(b, 0)
	b = be.AppendUint64(b, uint64(wal.Stamp(s.Time)))
	if s.Reply {
		return append(b, 1)
	}
	return append(b, 0)
}
