package cli

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// progress shows how far a piece of work has come: a bar that is drawn over itself on a terminal, a log line every
// few seconds elsewhere. Its methods may be called from several goroutines.
type progress struct {
	c     *console
	title string
	mu    sync.Mutex
	began time.Time
	shown time.Time
	drawn bool
}

const (
	barEvery = 100 * time.Millisecond
	logEvery = 5 * time.Second
)

func (c *console) progress(title string) *progress {
	now := c.now()
	return &progress{c: c, title: title, began: now, shown: now}
}

// update says how many bytes of how many are done; total 0 means that nobody knows.
func (p *progress) update(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, every := p.c.now(), logEvery
	if p.c.tty {
		every = barEvery
	}
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	text := p.text(done, total, now.Sub(p.began))
	if p.c.tty {
		p.drawn = true
		p.c.draw(text)
		return
	}
	p.c.log.Info(text)
}

// end takes the bar away.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		p.c.draw("")
	}
	p.drawn = false
}

func (p *progress) text(done, total int64, took time.Duration) string {
	rate := int64(float64(done) / max(took.Seconds(), 0.001))
	if total <= 0 {
		return fmt.Sprintf("%s: %s, %s/s", p.title, size(done), size(rate))
	}
	done = min(done, total)
	left := "?"
	if rate > 0 {
		left = span(time.Duration(float64(total-done) / float64(rate) * float64(time.Second)))
	}
	text := fmt.Sprintf("%3d %%, %s of %s, %s/s, %s left", 100*done/total, size(done), size(total), size(rate), left)
	if !p.c.tty {
		return p.title + ": " + strings.TrimSpace(text)
	}
	return fmt.Sprintf("%s [%s] %s", p.title, bar(done, total, 20), text)
}

func bar(done, total int64, width int) string {
	full := int(int64(width) * done / total)
	return strings.Repeat("=", full) + strings.Repeat(" ", width-full)
}

// draw puts text over the line drawn before; "" leaves it empty.
func (c *console) draw(text string) {
	if r := []rune(text); len(r) >= c.width {
		text = string(r[:c.width-1])
	}
	fmt.Fprintf(c.err, "\r\x1b[K%s", text)
}
