package ledger

import (
	"errors"
	"testing"

	"github.com/backstaydb/backstay/internal/store/mem"
)

// fullMemory cannot be written from the second time on.
type fullMemory struct {
	seen  Seen
	saved int
	full  bool
}

func (m *fullMemory) Load() (Seen, bool, error) { return m.seen, m.saved > 0, nil }

func (m *fullMemory) Save(s Seen) error {
	if m.full {
		return errors.New("no space left on device")
	}
	m.seen, m.saved = s, m.saved+1
	return nil
}

// TestAFullDiskDoesNotStopTheLog: the memory lies on the disk of the spool, and only a log that goes on empties that.
func TestAFullDiskDoesNotStopTheLog(t *testing.T) {
	signer, err := NewSigner("test")
	if err != nil {
		t.Fatal(err)
	}
	memory := &fullMemory{full: true}
	open := func() *Log {
		l, err := Open(Config{Store: mem.New(), Prefix: "app/ledger", Origin: "app", Signer: signer, Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	leaves := Change{Leaves: []Leaf{{Kind: "note", Name: "one"}}}
	if _, err := open().Create(t.Context(), leaves); err == nil {
		t.Fatal("a log was begun that this host cannot remember")
	}
	memory.full = false
	l := open()
	if _, err := l.Create(t.Context(), leaves); err != nil {
		t.Fatal(err)
	}
	memory.full = true
	l.savedAt = l.savedAt.Add(-saveInterval)
	if _, err := l.Append(t.Context(), func(Checkpoint) (Change, error) { return leaves, nil }); err != nil {
		t.Errorf("append with a full disk: %v", err)
	}
	if head, err := l.Head(t.Context()); err != nil || head.Number != 2 {
		t.Errorf("head with a full disk: %d, %v", head.Number, err)
	}
	if l.Close() == nil {
		t.Error("closing did not say that the memory was not written")
	}
	memory.full = false
	if err := l.Close(); err != nil || memory.seen.Number != 2 {
		t.Errorf("the memory holds checkpoint %d, %v", memory.seen.Number, err)
	}
}
