package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
)

// follow runs the daemon in the foreground, as o says, and shows how it does, until ctx ends.
func (c *console) follow(ctx context.Context, host *app.Host, o app.RunOptions) error {
	shown := &live{c: c, every: 10 * time.Second}
	if c.tty {
		shown.every = 500 * time.Millisecond
	}
	bases, stop := asksForBases()
	defer stop()
	o.Bases = bases
	o.Version, o.Exit, o.Every, o.Observe, o.Ended = version(), exitCode, shown.every, shown.show, shown.stop
	err := host.Run(ctx, o)
	shown.end()
	if err != nil && !(errors.Is(err, context.Canceled) && ctx.Err() != nil) {
		return err
	}
	c.printf("stopped; %s\n", shown.remains())
	return nil
}

// live draws one line over itself on a terminal. Elsewhere it writes a line into the log when a source begins to be in trouble, each
// minute while it is, and when all is well; nothing more.
type live struct {
	c     *console
	every time.Duration
	last  api.Status
	began bool

	said   string    // which sources were in trouble when that was written down last, and why; "" for none
	saidAt time.Time // zero: nothing was
}

// sayAgain is how often trouble that lasts is written down.
const sayAgain = time.Minute

func (l *live) show(s api.Status) {
	l.last = s
	if !l.c.tty {
		l.write(s)
		return
	}
	var parts []string
	for _, source := range s.Sources {
		parts = append(parts, l.line(source))
	}
	for _, cl := range s.Clusters {
		parts = append(parts, fmt.Sprintf("%s %s: %s", cl.Name, cl.State, cl.Reason))
	}
	l.began = true
	l.c.draw(strings.Join(parts, " | "))
}

// write writes into the log what is not as it should be, if that changed or lasts.
func (l *live) write(s api.Status) {
	var troubles, parts []string
	for _, source := range s.Sources {
		if t := trouble(source); t != "" {
			troubles, parts = append(troubles, source.Name+" "+t), append(parts, l.line(source))
		}
	}
	for _, cl := range s.Clusters {
		if cl.State != "serving" {
			t := fmt.Sprintf("%s %s: %s", cl.Name, cl.State, cl.Reason)
			troubles, parts = append(troubles, cl.Name+" "+cl.State), append(parts, t)
		}
	}
	now, said := l.c.now(), strings.Join(troubles, ", ")
	switch {
	case said == "" && (l.said != "" || l.saidAt.IsZero()):
		l.c.log.Info(allWell(s), "sources", len(s.Sources), "clusters", len(s.Clusters))
	case said != "" && (said != l.said || now.Sub(l.saidAt) >= sayAgain):
		l.c.log.Info(strings.Join(parts, " | "))
	default:
		return
	}
	l.said, l.saidAt = said, now
}

// allWell says what is as it should be.
func allWell(s api.Status) string {
	switch {
	case len(s.Sources) == 0:
		return "each cluster has its primary"
	case len(s.Clusters) == 0:
		return "all sources are captured, and durable in all their repositories"
	default:
		return "all sources are captured, and durable in all their repositories; each cluster has its primary"
	}
}

// trouble is what is not as it should be with a source, without numbers; "" for nothing. What begins is told, too.
func trouble(s api.Source) string {
	var words []string
	if s.State != "following" && s.State != "elsewhere" || s.Error != "" {
		words = append(words, s.State)
	}
	for _, r := range s.Repositories {
		if r.State != "ok" {
			words = append(words, r.Name+" "+r.State)
		}
	}
	return strings.Join(words, " ")
}

func (l *live) line(s api.Source) string {
	text := fmt.Sprintf("%s %s at %s", s.Name, s.State, s.Position.Plain())
	for _, r := range s.Repositories {
		if r.State == "ok" || r.State == "behind" {
			text += fmt.Sprintf(", %s durable up to %s (lag %s)", r.Name, r.DurableTime.Local().Format("15:04:05"), span(seconds(r.LagSeconds)))
		} else {
			text += fmt.Sprintf(", %s %s", r.Name, r.State)
		}
	}
	if s.State == "base" || s.State == "healing" {
		text = s.Name + ": " + s.Text
	}
	if s.Error != "" {
		text += ", error: " + s.Error
	}
	return text
}

func (l *live) end() {
	if l.began {
		l.c.draw("")
	}
}

// stop takes note of how it ended.
func (l *live) stop(s api.Status) {
	l.last = s
}

// remains says what stays behind at the sources, and what lies on this host only.
func (l *live) remains() string {
	var all, only []string
	for _, s := range l.last.Sources {
		if s.Remains != "" {
			all = append(all, s.Name+": "+s.Remains)
		}
		if s.Sentinel != nil && s.Sentinel.Table != "" {
			all = append(all, s.Name+": "+s.Sentinel.Table)
		}
		for _, r := range s.Repositories {
			if r.LagBytes > 0 {
				only = append(only, fmt.Sprintf("%s of %s for %s", size(r.LagBytes), s.Name, r.Name))
			}
		}
	}
	if len(all) == 0 {
		all = append(all, "nothing stays behind at the source")
	}
	if len(only) > 0 {
		return strings.Join(all, "; ") + "; log that lies only here, in .backstay: " + strings.Join(only, ", ") + "; run the same command again to ship it and to go on"
	}
	return strings.Join(all, "; ") + "; run the same command again to go on"
}
