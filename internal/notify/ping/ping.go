// Package ping is a dead man's switch: it calls an address again and again as long as all is well, so that a watcher
// elsewhere (healthchecks.io, Uptime Kuma, a push gateway, an own script) raises the alarm when the calls stay away. It is
// the only alarm that also works when this host, its network or every receiver of notices is dead.
package ping

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/notify/post"
)

// Config is whom to call, how often, and when not to.
type Config struct {
	Address string        // a URL with https:// or http://; a secret
	Method  string        // GET or POST; empty means GET
	Every   time.Duration // zero means a minute
	Well    func() error  // nil error means that all is well; it is asked before each call, and no call is made otherwise
	Log     *slog.Logger  // nil means none
}

// Pinger calls one address.
type Pinger struct {
	c Config

	mu     sync.Mutex
	status Status
}

// Status is how calling goes.
type Status struct {
	Called  time.Time `json:"called,omitzero"`  // when a call last succeeded; zero: not since the start
	Failing time.Time `json:"failing,omitzero"` // since when calls fail, or are not made; zero if the last one succeeded
	Reason  string    `json:"reason,omitempty"` // why
	Unwell  bool      `json:"unwell,omitempty"` // no call was made, since not all is well
}

// timeout bounds one call.
const timeout = 10 * time.Second

// New returns a pinger. Its errors hold nothing of the address.
func New(c Config) (*Pinger, error) {
	c.Address = strings.TrimSpace(c.Address)
	if !strings.HasPrefix(c.Address, "https://") && !strings.HasPrefix(c.Address, "http://") {
		return nil, errors.New("open ping: the address begins with neither https:// nor http://")
	}
	if c.Method == "" {
		c.Method = http.MethodGet
	}
	if c.Method != http.MethodGet && c.Method != http.MethodPost {
		return nil, errors.New("open ping: the method is neither GET nor POST")
	}
	if c.Every <= 0 {
		c.Every = time.Minute
	}
	if c.Well == nil {
		return nil, errors.New("open ping: nobody says whether all is well")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Pinger{c: c}, nil
}

// Run calls at once and then at each interval until ctx ends, and returns nil then.
func (p *Pinger) Run(ctx context.Context) error {
	ticker := time.NewTicker(p.c.Every)
	defer ticker.Stop()
	for {
		p.call(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Status returns how calling goes.
func (p *Pinger) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// call makes one call, if all is well.
func (p *Pinger) call(ctx context.Context) {
	why := p.c.Well()
	unwell := why != nil
	if !unwell {
		ctx, cancel := context.WithTimeout(ctx, min(timeout, p.c.Every))
		defer cancel()
		why = post.Do(ctx, p.c.Method, p.c.Address, nil, nil)
	}
	if ctx.Err() != nil && why != nil && !unwell {
		return // The daemon ends.
	}
	p.note(why, unwell, time.Now())
}

// note keeps how a call went, and logs when that changes.
func (p *Pinger) note(why error, unwell bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := !p.status.Failing.IsZero()
	if why == nil {
		if was {
			p.c.Log.Info("ping is sent again")
		}
		p.status = Status{Called: now}
		return
	}
	if !was {
		p.status.Failing = now
		p.c.Log.Warn("ping is not sent", "unwell", unwell, "reason", why)
	}
	p.status.Reason, p.status.Unwell = why.Error(), unwell
}
