package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// testimony is that nothing was flushed behind end at a time of the server's clock: whoever had got an answer to a COMMIT by
// then is in the log up to end.
type testimony struct {
	at  time.Time
	end wal.LSN
}

// answerLook is how often it is looked whether the server has told its clock, after which the witness is asked.
const answerLook = 10 * time.Millisecond

// attend has a witness say, again and again until ctx ends, that no log is missing. While log comes it says so itself.
func (r *receiver) attend(ctx context.Context, every time.Duration) {
	w := &witness{s: r.s, timeline: r.timeline}
	defer w.close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for asked := time.Now(); ctx.Err() == nil; {
		if time.Since(asked) >= demandEvery {
			asked = time.Now()
			w.lookDemand(ctx)
		}
		if before := r.stamp.Load(); r.quiet(every/2) && r.confirm(true) == nil && r.answered(ctx, before, every) {
			r.hear(ctx, w)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// answered waits until the server has told another time of its clock than before, for so long at most.
func (r *receiver) answered(ctx context.Context, before int64, most time.Duration) bool {
	for end := time.Now().Add(most); r.stamp.Load() == before; {
		if ctx.Err() != nil || time.Now().After(end) {
			return false
		}
		select {
		case <-ctx.Done():
		case <-time.After(answerLook):
		}
	}
	return ctx.Err() == nil
}

// hear asks for the end of the log, after the clock, and has the server send a message with which the receiver looks whether
// it is here.
func (r *receiver) hear(ctx context.Context, w *witness) {
	at := r.stamp.Load()
	if end, ok := w.flushed(ctx); ok {
		r.testimony.Store(&testimony{time.Unix(0, at), end})
		_ = r.confirm(true) // the receiver finds out
	}
}

// quiet reports whether no log has come for so long.
func (r *receiver) quiet(d time.Duration) bool { return time.Since(time.Unix(0, r.fed.Load())) >= d }

// witness says up to where the server's log is flushed, on a connection of its own. What the stream says at rest is no proof:
// a keepalive says how far log was sent, and a server process that was held up answers all questions that came meanwhile,
// one after the other, before it looks for new log again (walsender.c, ProcessRepliesIfAny).
//
// It is a session where the role may have one, else a second replication connection.
type witness struct {
	s        *Source
	timeline uint32

	session *pgconn.PgConn
	sender  *replication.Conn
	rest    time.Time // nothing is opened before
}

// Times of the witness.
const (
	witnessLimit = 5 * time.Second // for one answer
	witnessRest  = 5 * time.Second // after one that could not be had
)

// flushed gives the end of the log that is flushed now; ok is false if nobody can say.
func (w *witness) flushed(ctx context.Context) (at wal.LSN, ok bool) {
	ok = w.hears(ctx, func(ctx context.Context) (err error) {
		at, err = w.ask(ctx)
		return err
	})
	return at, ok
}

// hears puts a question, and reports whether it was answered.
func (w *witness) hears(ctx context.Context, question func(context.Context) error) bool {
	if time.Now().Before(w.rest) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, witnessLimit)
	defer cancel()
	var err error
	if w.session == nil && w.sender == nil {
		err = w.open(ctx)
	}
	if err == nil {
		err = question(ctx)
	}
	if err != nil {
		w.close()
		w.rest = time.Now().Add(witnessRest)
		w.s.options.Log.DebugContext(ctx, "the witness does not answer", "source", w.s.options.Name, "err", err)
	}
	return err == nil
}

// demandEvery is how often it is looked whether commits wait for us: people turn that on and off while the log is followed.
const demandEvery = 5 * time.Second

// lookDemand asks whether commits wait for us.
func (w *witness) lookDemand(ctx context.Context) {
	w.hears(ctx, func(ctx context.Context) error {
		if w.sender != nil {
			list, err := w.s.readDemand(ctx, w.sender)
			if err == nil {
				w.s.demands(list)
			}
			return err
		}
		row, err := queryRow(ctx, w.session, "SELECT current_setting('synchronous_standby_names')")
		if err == nil {
			w.s.demands(w.s.demandOf(row[0]))
		}
		return err
	})
}

func (w *witness) ask(ctx context.Context) (wal.LSN, error) {
	if w.session != nil {
		return w.askSession(ctx)
	}
	sys, err := w.sender.Identify(ctx)
	if err != nil {
		return 0, err
	}
	return sys.Flushed, w.sameLine(sys.ID, sys.Timeline)
}

// askSession asks for the name of the log file too, which has the timeline; a standby refuses both.
func (w *witness) askSession(ctx context.Context) (wal.LSN, error) {
	row, err := queryRow(ctx, w.session, "SELECT pg_current_wal_flush_lsn(), pg_walfile_name(pg_current_wal_flush_lsn())")
	if err != nil {
		return 0, err
	}
	var timeline uint32
	if _, err := fmt.Sscanf(row[1], "%08X", &timeline); err != nil {
		return 0, fmt.Errorf("read log file name %q: %w", row[1], err)
	}
	at, err := wal.ParseLSN(row[0])
	if err != nil {
		return 0, err
	}
	return at, w.sameLine(w.s.system, timeline)
}

// sameLine refuses the word of another server than the one that is followed, which a URL with several hosts may lead to.
func (w *witness) sameLine(system string, timeline uint32) error {
	if system != w.s.system || timeline != w.timeline {
		return fmt.Errorf("ask how far the log is flushed: the server of cluster %s is on timeline %d, want %s and %d", system, timeline, w.s.system, w.timeline)
	}
	return nil
}

func (w *witness) open(ctx context.Context) error {
	session, err := w.s.sql(ctx)
	if err == nil {
		w.session = session
		return nil
	}
	sender, err := w.s.replication(ctx)
	if err != nil {
		return err
	}
	w.sender = sender
	standby, err := inRecovery(ctx, sender)
	if err == nil && standby {
		err = fmt.Errorf("ask how far the log is flushed: %s is a standby", w.s.where())
	}
	return err
}

func (w *witness) close() {
	if w.session != nil {
		closeSoon(w.session.Close)
	}
	if w.sender != nil {
		closeSoon(w.sender.Close)
	}
	w.session, w.sender = nil, nil
}
