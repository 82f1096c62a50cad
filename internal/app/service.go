package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/backoff"
)

// How often the service manager is told how the daemon does, if that changed; for how long nobody may have judged; and what an answer
// of the control socket may take.
const (
	toldEvery    = 2 * time.Second
	judgedWithin = 2 * time.Minute
	answersIn    = 10 * time.Second
)

// heard tells the service manager that the daemon is ready, how it does, whether it is alive, and that it ends.
func (d *daemon) heard(ctx context.Context) error {
	if !d.manager.Listens() {
		return nil
	}
	for d.alive(ctx) != nil { // ready is who answers
		if err := backoff.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	d.tell(d.manager.Ready)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.manager.Watch(ctx, func() error { return d.alive(ctx) }) })
	g.Go(func() error {
		said := ""
		for ctx.Err() == nil {
			if text := d.line(); text != said {
				said = text
				d.say(text)
			}
			_ = backoff.Sleep(ctx, toldEvery) // the loop sees the end of ctx
		}
		d.tell(d.manager.Stopping)
		return ctx.Err()
	})
	return g.Wait()
}

// alive asks the daemon as a command would, through its socket: whoever holds a lock for ever holds up the answer too.
func (d *daemon) alive(ctx context.Context) error {
	limit := answersIn
	if w := d.manager.Watchdog(); w > 0 {
		limit = min(limit, w/4)
	}
	asked, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := api.Dial(d.host().State()).Status(asked)
	if since := d.host().Now().Sub(d.watch.Judged()); err == nil && since > judgedWithin {
		err = fmt.Errorf("promises were not judged for %s", since.Round(time.Second))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unwell = err
	return err
}

// line says in one line whether the promises are kept.
func (d *daemon) line() string {
	d.mu.Lock()
	unwell := d.unwell
	d.mu.Unlock()
	if unwell != nil {
		return "not well: " + unwell.Error()
	}
	s, err := d.Status(context.Background())
	if err != nil {
		return "not well: " + err.Error()
	}
	text := sentence(s)
	if s.Refused != "" {
		text += "; backstay.yaml as it lies there is not in force: " + s.Refused
	}
	return text
}

// sentence answers whether the promises are kept, in one line.
func sentence(s api.Status) string {
	sources := fmt.Sprintf("%d sources", len(s.Sources))
	if len(s.Sources) == 1 {
		sources = "1 source"
	}
	switch {
	case s.Kept == nil:
		return sources + "; no promise was made for them"
	case *s.Kept:
		return sources + "; all promises are kept"
	}
	var broken []string
	for _, source := range s.Sources {
		for _, p := range source.Promises {
			if !p.Kept && p.Exception == "" {
				broken = append(broken, source.Name+" "+p.Objective)
			}
		}
	}
	const shown = 5
	if more := len(broken) - shown; more > 0 {
		broken = append(broken[:shown], fmt.Sprintf("%d more", more))
	}
	return sources + "; not kept: " + strings.Join(broken, ", ")
}

// say shows a line as the status of the service.
func (d *daemon) say(text string) { d.tell(func() error { return d.manager.Status(text) }) }

// tell says something to the service manager. One that does not hear it is no reason to do anything else.
func (d *daemon) tell(what func() error) {
	if err := what(); err != nil {
		d.host().Log.Debug("the service manager did not hear", "err", err)
	}
}
