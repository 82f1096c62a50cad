package repository

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/pack"
)

// OpenSegment opens a segment or a tip that the ledger, as it was last read, lists. Nothing in it is used before it was
// compared with a digest there: the whole object, or its index and by that each frame that is read.
func (r *Repository) OpenSegment(ctx context.Context, seg history.Segment) (engine.LogSegment, error) {
	keys := r.ring()
	if keys.secret == nil {
		return nil, &NoKeyError{Source: r.source, Need: "open " + seg.Name}
	}
	o, body, err := r.findSegment(ctx, seg.Name)
	if err != nil {
		return nil, err
	}
	if body.Index.SHA256 != "" && o.Size > inMemory {
		opened, err := pack.OpenSegment(ctx, r.listedSource(o), body.Index, keys.secret.ageIdentities())
		if err != nil {
			return nil, fmt.Errorf("open %s of %s: %w", seg.Name, r.source, err)
		}
		if r.store.Properties().Local || condensed(opened) {
			return opened, nil
		}
		// All of it will be read: that takes one request.
		if err := opened.Close(); err != nil {
			return nil, err
		}
	}
	src, closer, err := r.verifiedSource(ctx, o)
	if err != nil {
		return nil, err
	}
	opened, err := pack.OpenSegment(ctx, src, body.Index, keys.secret.ageIdentities())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s of %s: %w", seg.Name, r.source, err), closer.Close())
	}
	return &openSegment{opened, closer}, nil
}

// condensed reports whether one file in a segment stands for the others, so that most of it is seldom read.
func condensed(s engine.LogSegment) bool {
	entries := s.Entries()
	return len(entries) > 0 && entries[0].Condensed
}

// openSegment closes what its bytes come from, too.
type openSegment struct {
	engine.LogSegment
	source io.Closer
}

func (s *openSegment) Close() error { return errors.Join(s.LogSegment.Close(), s.source.Close()) }

// findSegment looks up a segment or tip by the name of its object.
func (r *Repository) findSegment(ctx context.Context, name string) (o Object, body segmentBody, err error) {
	err = r.ledger.Peek(ctx, func(head ledger.Checkpoint) (err error) {
		if s, ok := r.fold.segments[name]; ok {
			o, body = r.fold.objects[name], s
			return nil
		}
		if pinned, ok := r.pins.find(name); ok {
			o, body = pinned.object, pinned.segment
			return nil
		}
		for _, t := range head.Tips {
			if t.Name == name {
				o = tipObject(t)
				body, err = tipBody(t)
				return err
			}
		}
		return &UnlistedError{Source: r.source, Object: name}
	})
	return o, body, err
}

// OpenLog gives the segments of a chain to an engine.
func (r *Repository) OpenLog(segs []history.Segment) engine.Log { return &chainLog{r, segs} }

type chainLog struct {
	r    *Repository
	segs []history.Segment
}

func (l *chainLog) Segments() []history.Segment { return l.segs }

func (l *chainLog) Open(ctx context.Context, i int) (engine.LogSegment, error) {
	if i < 0 || i >= len(l.segs) {
		return nil, fmt.Errorf("open segment %d of %d", i, len(l.segs))
	}
	return l.r.OpenSegment(ctx, l.segs[i])
}
