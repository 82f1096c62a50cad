package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// bornLimit bounds how long the beginning of a timeline is looked for.
const bornLimit = 10 * time.Second

// sinceFork is a moment before the first commit on the child of a fork. Where the server left our timeline at its end that
// is the moment up to which it is whole. Where ours runs on behind the fork, both lines may have been written to at the
// same time, and the child says itself when it was born. If it cannot be asked, its commits count from the end of ours on.
func (f *follower) sinceFork(ctx context.Context, fork *history.Fork) time.Time {
	if fork == nil || fork.At.Seq >= f.position.Seq {
		return f.until
	}
	born, err := f.born(ctx, fork)
	if err != nil {
		f.s.options.Log.WarnContext(ctx, "it is not known when the timeline began, so its first commits may be given a later time", "source", f.s.options.Name, "timeline", fork.Child, "err", err)
		return f.until
	}
	if born.After(f.until) {
		return f.until
	}
	return born
}

// born reads the end of recovery with which a timeline begins, over a connection of its own.
func (f *follower) born(ctx context.Context, fork *history.Fork) (born time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, bornLimit)
	defer cancel()
	conn, err := f.s.replication(ctx)
	if err != nil {
		return born, err
	}
	defer closeSoon(conn.Close)
	at := wal.LSN(fork.At.Seq)
	stream, err := conn.Stream(ctx, replication.StreamOptions{From: at, Timeline: fork.Child})
	if err != nil {
		return born, err
	}
	defer stream.Close()
	s := wal.NewScanner(at, wal.Options{SegmentSize: f.s.segmentSize, Version: f.s.version, Verify: true, Event: func(e wal.Event) {
		first := e.Kind == wal.EndOfRecovery || e.Kind == wal.Checkpoint && e.Previous != e.Timeline
		if first && e.Timeline == fork.Child && born.IsZero() {
			born = e.Time
		}
	}})
	for born.IsZero() {
		m, err := stream.Receive()
		if err == nil {
			err = s.Feed(m.Data)
		}
		if err != nil {
			return born, err
		}
		if s.Pos()-at > partSize {
			return born, errors.New("it does not begin with the end of a recovery")
		}
	}
	return born, nil
}
