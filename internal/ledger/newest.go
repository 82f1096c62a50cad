package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/backstaydb/backstay/internal/store"
)

// Newest reads the newest checkpoint that a trusted key signed, and none of the leaves: one listing and one object. It
// is what the signer said of the log, for a comparison with Extends of another copy; whether the leaves here are the
// ones that it signs is not known. It is fs.ErrNotExist if there is no checkpoint.
func (l *Log) Newest(ctx context.Context) (Checkpoint, error) {
	if err := l.take(ctx); err != nil {
		return Checkpoint{}, err
	}
	defer l.release()
	var c Checkpoint
	err := errVanished
	for try := 0; try < 5 && errors.Is(err, errVanished); try++ {
		c, err = l.newest(ctx)
	}
	return c, err
}

func (l *Log) newest(ctx context.Context) (Checkpoint, error) {
	numbers, err := l.list(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	if len(numbers) == 0 {
		return Checkpoint{}, fmt.Errorf("read ledger %s: %w", l.c.Prefix, fs.ErrNotExist)
	}
	var ignored []Ignored
	for _, n := range slices.Backward(numbers) {
		object, err := store.ReadAll(ctx, l.c.Store, l.checkpointName(n), maxCheckpoint)
		if errors.Is(err, fs.ErrNotExist) {
			return Checkpoint{}, errVanished
		}
		if err != nil {
			return Checkpoint{}, fmt.Errorf("read ledger %s: %w", l.c.Prefix, err)
		}
		c, _, err := l.verify(object, n)
		if err == nil {
			return c, nil
		}
		if ignored = append(ignored, Ignored{l.checkpointName(n), err.Error()}); len(ignored) == maxIgnored {
			break
		}
	}
	return Checkpoint{}, &UntrustedError{Log: l.c.Prefix, Ignored: ignored}
}
