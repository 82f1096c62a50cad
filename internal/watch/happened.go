package watch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/archive"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/notify"
)

// happening is what an archive told of a source.
type happening struct {
	source string
	archive.Event
}

// maxHappenings is how many wait at most: what waits is told within a second.
const maxHappenings = 256

// Hear takes note of what happened to a source; Run tells it. It never blocks, so that an archive can call it where it captures.
func (w *Watch) Hear(source string, e archive.Event) {
	switch e.Kind {
	case archive.BaseProgress, archive.SegmentCut:
		return
	}
	select {
	case w.happened <- happening{source, e}:
	default:
		w.c.Log.Warn("too much happens at once to tell it all", "source", source, "event", string(e.Kind))
	}
}

// tell tells people of what happened once, and writes it down, until ctx ends.
func (w *Watch) tell(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case h := <-w.happened:
			w.tellOne(ctx, h)
		}
	}
}

func (w *Watch) tellOne(ctx context.Context, h happening) {
	s := w.all()[h.source]
	if s == nil {
		return
	}
	switch h.Kind {
	case archive.BaseDone, archive.BaseCopied, archive.GapFound, archive.RepositoryUp, archive.LogMissing:
		w.wake(s.Name) // what can be recovered is another than before
	}
	loss, ok := losses[h.Kind]
	if !ok {
		return
	}
	n := notify.Notice{Fingerprint: fingerprint(string(h.Kind), s.Name, h.Repository), Objective: loss.objective, Source: s.Name, Class: s.Class,
		Severity: loss.severity, Since: h.Time, Reason: reasonOf(h), Do: fmt.Sprintf(loss.do, s.Name)}
	w.notify(n)
	w.write(ctx, audit.Entry{Time: h.Time, What: loss.action, Source: s.Name, Repository: h.Repository, Why: n.Reason, Outcome: audit.Failed, Error: errorText(h.Err)})
}

// tellRepair tells that damage was found and mended: nothing is lost, and a disk that altered one object alters others.
func (w *Watch) tellRepair(s *watched, name string, objects []string, n int) {
	w.notify(notify.Notice{Fingerprint: fingerprint("repair", s.Name, name), Objective: "repair", Source: s.Name, Class: s.Class, Severity: notify.Warning,
		Since: w.c.Now(), Reason: fmt.Sprintf("%d damaged objects in %s were replaced from another repository: %s", n, name, strings.Join(objects[:min(len(objects), 3)], ", ")),
		Do: "see what damaged them: the disk, the provider, or a person"})
}

// notify tells of what happened once.
func (w *Watch) notify(n notify.Notice) {
	if w.c.Notifier == nil {
		return
	}
	if err := w.c.Notifier.Tell(n); err != nil {
		w.c.Log.Error("what happened is told, and is not on disk", "source", n.Source, "event", n.Objective, "err", err)
	}
}

// loss is how people are told of one kind of event.
type loss struct {
	objective string
	severity  notify.Severity
	action    audit.Action
	do        string // with the name of the source
}

// losses are the events after which something is not as it was, and no finding says so. What lasts is told by findings.
var losses = map[archive.EventKind]loss{
	archive.GapFound: {"gap", notify.Critical, audit.Gap, "nothing need be done: a new base is taken, and its end closes the gap; " +
		"moments in between cannot be recovered. See what took the log away before it was captured; backstay status %s shows the window"},
	archive.LogMissing: {"gap", notify.Critical, audit.Gap, "see backstay history %s for what can be recovered from where; a new base makes that repository whole again"},
	archive.Stranger: {"signature", notify.Critical, audit.Key, "what was written does not count, and protection goes on. If it was a host of yours, let it sign: backstay key trust %s KEY; " +
		"if not, see who can write to the store"},
	archive.SpoolLost:   {"spool", notify.Warning, audit.Gap, "see what damaged or replaced the state folder; backstay history %s shows whether a gap came of it"},
	archive.BaseDamaged: {"source", notify.Critical, audit.Base, "the database itself is damaged: see what its own checks say of %s, and keep the bases of before"},
}

// reasonOf is what happened in one sentence.
func reasonOf(h happening) string {
	text := h.Text
	if h.Repository != "" {
		text = h.Repository + ": " + text
	}
	if h.Err != nil {
		text += ": " + h.Err.Error()
	}
	return text
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// fingerprint tells one matter from all others of this host.
func fingerprint(parts ...string) string {
	var text string
	for _, p := range parts {
		if p == "" {
			continue
		}
		if text != "" {
			text += "/"
		}
		text += p
	}
	return text
}

// settling is how long a watch waits for what it needs to know of a source before it judges without.
const settling = 15 * time.Second
