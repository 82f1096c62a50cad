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
	o.Version, o.Exit, o.Every, o.Observe, o.Ended = version(), exitCode, shown.every, shown.show, shown.stop
	err := host.Run(ctx, o)
	shown.end()
	if err != nil && !(errors.Is(err, context.Canceled) && ctx.Err() != nil) {
		return err
	}
	c.printf("stopped; %s\n", shown.remains())
	return nil
}

// live draws one line over itself on a terminal, and writes log lines elsewhere.
type live struct {
	c     *console
	every time.Duration
	last  api.Status
	began bool
}

func (l *live) show(s api.Status) {
	l.last = s
	var parts []string
	for _, source := range s.Sources {
		parts = append(parts, l.line(source))
	}
	for _, cl := range s.Clusters {
		parts = append(parts, fmt.Sprintf("%s %s: %s", cl.Name, cl.State, cl.Reason))
	}
	text := strings.Join(parts, " | ")
	if l.c.tty {
		l.began = true
		l.c.draw(text)
		return
	}
	l.c.log.Info(text)
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
	if s.State == "base" {
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
	for i, source := range s.Sources {
		if source.Remains == "" && i < len(l.last.Sources) {
			s.Sources[i].Remains = l.last.Sources[i].Remains // Known only while the source is connected.
		}
	}
	l.last = s
}

// remains says what stays behind at the sources, and what lies on this host only.
func (l *live) remains() string {
	var all, only []string
	for _, s := range l.last.Sources {
		if s.Remains != "" {
			all = append(all, s.Name+": "+s.Remains)
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
