package repository

import (
	"context"
	"fmt"
	"io"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
)

// KeepTip makes a segment of a tip, byte for byte: what its log was shipped from is lost, so that no full segment will
// ever cover it. It needs no key.
func (r *Repository) KeepTip(ctx context.Context, name string) error {
	o, body, err := r.findSegment(ctx, name)
	if err != nil {
		return err
	}
	if o.Kind != Tip {
		return nil
	}
	if err := r.hashListed(ctx, o, nil); err != nil {
		return fmt.Errorf("keep %s of %s: %w", name, r.source, err)
	}
	sealed := pack.Sealed{Segment: body.Segment, Size: o.Size, SHA256: o.SHA256, Index: body.Index}
	_, err = r.AppendSegment(ctx, sealed, func() (io.ReadCloser, error) {
		return r.store.Open(ctx, r.object(name), 0, -1)
	}, history.Moment{})
	return err
}
