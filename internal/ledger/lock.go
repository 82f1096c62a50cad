package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// lockDue calls Config.Lock for what was put and is not locked yet. What could not be locked is tried again with the next
// append.
func (l *Log) lockDue(ctx context.Context) error {
	if l.c.Lock == nil {
		l.due = nil
	}
	for len(l.due) > 0 {
		err := l.c.Lock(ctx, l.due[0])
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it was deleted meanwhile: it has done its service
			return fmt.Errorf("append to ledger %s: %w", l.c.Prefix, err)
		}
		l.due = l.due[1:]
	}
	return nil
}
