package enginetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

func testBaseWhileFollowing(t *testing.T, h Harness) {
	g := start(t, h)
	f := Follow(t, g.src, g.rec)
	stop := make(chan struct{})
	last := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				last <- n
				return
			default:
				n = g.app.Commit(t).N
			}
		}
	}()
	time.Sleep(100 * time.Millisecond)
	second := &Sink{}
	res, err := g.src.TakeBase(t.Context(), engine.BaseOptions{After: g.rec.Bookmark().Position}, second)
	time.Sleep(100 * time.Millisecond)
	close(stop)
	n := <-last
	if err != nil {
		t.Fatalf("TakeBase: %v", err)
	}
	Settled(t, h, g.rec)
	f.Stop()
	g.latest(t, h, n)
	at := res.Base.Stop
	if at.Timeline != g.base.Stop.Timeline || at.Before(g.base.Stop) {
		t.Fatalf("the second base stands at %s, the first at %s", at, g.base.Stop)
	}
	// The first base with the log up to there must be the second base.
	log, goal := g.log(t, h, 16), engine.Goal{Position: at}
	want, r := stands(t, h, g.app, g.sink, log, goal)
	if !h.Bytes { // the second base stands by itself
		log, goal = &Log{}, engine.Goal{}
	}
	got, r2 := stands(t, h, g.app, second, log, goal)
	if got != want {
		t.Fatalf("the second base stands at change %d, the first with its log to %s at %d", got, at, want)
	}
	if r.Digest != r2.Digest {
		t.Fatalf("digest %s of the second base, %s of the first with its log", r2.Digest, r.Digest)
	}
}

func testBaseFails(t *testing.T, h Harness) {
	g := start(t, h)
	f := Follow(t, g.src, g.rec)
	broken := errors.New("store is gone")
	if _, err := g.src.TakeBase(t.Context(), engine.BaseOptions{}, &Sink{Err: broken}); !errors.Is(err, broken) {
		t.Fatalf("TakeBase into a broken sink: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.src.TakeBase(ctx, engine.BaseOptions{}, &Sink{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("TakeBase with a cancelled context: %v", err)
	}
	last := g.app.Commit(t).N
	Settled(t, h, g.rec)
	f.Stop()
	g.latest(t, h, last)
}
