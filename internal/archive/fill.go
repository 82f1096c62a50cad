package archive

import (
	"context"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
)

// fill copies older history into a repository that is new, a base with its log at a time and the newest first, so that its window
// grows backwards without a hole. A repository of which something was ever dropped is left as whoever dropped it wants
// it. It reports whether there may be more.
func (s *shipper) fill(ctx context.Context) (more bool, err error) {
	reading, cancel := context.WithTimeout(ctx, openDeadline)
	mine, err := s.opened().Facts(reading)
	cancel()
	if err != nil || mine.Dropped > 0 || len(mine.History.Bases) == 0 {
		return false, err
	}
	oldest := oldestBase(mine.History)
	var from *repository.Repository
	var next history.Base
	for _, peer := range s.a.peers(s) {
		theirs, err := s.facts(ctx, peer)
		if err != nil {
			continue // its own shipper tells
		}
		for _, b := range theirs.Bases {
			if newer(oldest, b) && (from == nil || newer(b, next)) {
				from, next = peer, b
			}
		}
	}
	if from == nil {
		return false, nil
	}
	// The log comes first: a base without it would stand for a moment of its own.
	if _, _, err := s.copyLog(ctx, next.Start, oldest.Start); err != nil {
		return false, err
	}
	if err := s.carryBase(ctx, from, next); err != nil {
		return false, err
	}
	s.update(func(v *view) { v.bases, v.stored = v.bases+1, v.stored+next.StoredBytes })
	return true, nil
}

func oldestBase(h history.History) history.Base {
	oldest := h.Bases[0]
	for _, b := range h.Bases {
		if newer(oldest, b) {
			oldest = b
		}
	}
	return oldest
}
