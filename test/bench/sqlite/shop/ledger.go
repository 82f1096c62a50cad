package shop

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"time"
)

// Sale is one record of a ledger: one commit that the database acknowledged.
type Sale struct {
	Beat  uint64
	Due   time.Time // when the schedule wanted it to begin
	Begun time.Time // BEGIN was sent
	Done  time.Time // COMMIT was acknowledged
}

const saleSize = 32

// Ledger is a file of Sales, written by the process that makes the commits.
type Ledger struct {
	f *os.File
	w *bufio.Writer
}

// CreateLedger makes the file at path.
func CreateLedger(path string) (*Ledger, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create ledger: %w", err)
	}
	return &Ledger{f: f, w: bufio.NewWriterSize(f, 1<<16)}, nil
}

// Add writes one record, buffered.
func (l *Ledger) Add(s Sale) error {
	b := make([]byte, 0, saleSize)
	b = binary.BigEndian.AppendUint64(b, s.Beat)
	for _, t := range []time.Time{s.Due, s.Begun, s.Done} {
		b = binary.BigEndian.AppendUint64(b, uint64(t.UnixNano()))
	}
	_, err := l.w.Write(b)
	return err
}

// Close writes what is buffered and closes the file.
func (l *Ledger) Close() error {
	if err := l.w.Flush(); err != nil {
		l.f.Close()
		return fmt.Errorf("write ledger: %w", err)
	}
	return l.f.Close()
}

// ReadLedger reads a whole ledger.
func ReadLedger(path string) ([]Sale, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	if len(b)%saleSize != 0 {
		return nil, fmt.Errorf("read ledger %s: %d bytes are not a whole number of records", path, len(b))
	}
	at := func(b []byte) time.Time { return time.Unix(0, int64(binary.BigEndian.Uint64(b))) }
	sales := make([]Sale, 0, len(b)/saleSize)
	for ; len(b) > 0; b = b[saleSize:] {
		sales = append(sales, Sale{Beat: binary.BigEndian.Uint64(b), Due: at(b[8:]), Begun: at(b[16:]), Done: at(b[24:])})
	}
	return sales, nil
}
