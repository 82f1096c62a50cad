package main

import (
	"context"
	"fmt"

	"github.com/benbjohnson/litestream"
)

// restore brings the newest state of the replica at url into the file at path.
func restore(ctx context.Context, url, path, check string) error {
	modes := map[string]litestream.IntegrityCheckMode{
		"none":  litestream.IntegrityCheckNone,
		"quick": litestream.IntegrityCheckQuick,
		"full":  litestream.IntegrityCheckFull,
	}
	mode, ok := modes[check]
	if !ok {
		return fmt.Errorf("integrity check %q: want none, quick or full", check)
	}
	r, err := newReplica(nil, url)
	if err != nil {
		return err
	}
	if err := r.Client.Init(ctx); err != nil {
		return fmt.Errorf("open replica: %w", err)
	}
	o := litestream.NewRestoreOptions()
	o.OutputPath = path
	o.IntegrityCheck = mode
	if err := r.Restore(ctx, o); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}
