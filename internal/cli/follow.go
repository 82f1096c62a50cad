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

// follow runs the daemon in the foreground and shows how it does, until ctx ends.
func (c *console) follow(ctx context.Context, host *app.Host) error {
	shown := &live{c: c, every: 10 * time.Second}
	if c.tty {
		shown.every = 500 * time.Millisecond
	}
	err := host.Run(ctx, app.RunOptions{Version: version(), Exit: exitCode, Every: shown.every, Observe: shown.show})
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
	text := strings.Join(parts, " | ")
	if l.c.tty {
		l.began = true
		l.c.draw(text)
		return
	}
	l.c.log.Info(text)
}

func (l *live) line(s api.Source) string {
	text := fmt.Sprintf("%s %s at %s", s.Name, s.State, s.Position)
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

// remains says what stays behind at the sources.
func (l *live) remains() string {
	var all []string
	for _, s := range l.last.Sources {
		if s.Remains != "" {
			all = append(all, s.Name+": "+s.Remains)
		}
	}
	if len(all) == 0 {
		return "nothing stays behind at the source; run the same command again to go on"
	}
	return strings.Join(all, "; ")
}
