package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/token"

	"github.com/backstaydb/backstay/internal/notify"
)

// promises checks the keys that a class and a source share, as they stand at the path in the file.
func (p *parser) promises(c *Config, own Promise, path ...string) error {
	at := func(key string) *token.Token {
		tok, n := p.find(append(slices.Clone(path), key)...)
		if n != nil {
			return n.GetToken()
		}
		return tok
	}
	what := strings.TrimSuffix(path[0], "es")
	if path[0] == "sources" {
		what = "source"
	}
	what += " " + path[1]
	if err := p.named(at("repositories"), what, "repository", own.Repositories, c.RepositoryNames()); err != nil {
		return err
	}
	if err := p.hooks(own.Hooks, path[0], path[1]); err != nil {
		return err
	}
	if err := p.named(at("recipients"), what, "recipient", own.Recipients, sorted(c.Recipients)); err != nil {
		return err
	}
	for _, n := range []struct {
		key   string
		value int
	}{{"durable_in", own.DurableIn}, {"keep", own.Keep.smallest()}} {
		if n.value < 0 {
			return p.at(at(n.key), fmt.Sprintf("%s of %s is negative", n.key, what), "give a number from 1 on, or leave it out")
		}
	}
	if own.Keep.Zone != "" {
		if _, err := time.LoadLocation(own.Keep.Zone); err != nil {
			return p.at(at("keep"), fmt.Sprintf("zone %q is not known", own.Keep.Zone), "zones are named as in Europe/Berlin or UTC")
		}
	}
	for _, t := range own.Drill.To {
		if !slices.Contains(drillTargets, t) {
			return p.at(at("drill"), fmt.Sprintf("a drill of %s goes to %q", what, t), suggest(t, drillTargets))
		}
	}
	if choices := []string{"auto", switchOff}; own.Drill.Fingerprint != "" && !slices.Contains(choices, own.Drill.Fingerprint) {
		return p.at(at("drill"), fmt.Sprintf("fingerprint of %s is %q", what, own.Drill.Fingerprint), suggest(own.Drill.Fingerprint, choices))
	}
	if choices := []string{switchOn, switchOff}; own.Sentinel != "" && !slices.Contains(choices, own.Sentinel) {
		return p.at(at("sentinel"), fmt.Sprintf("sentinel of %s is %q", what, own.Sentinel), suggest(own.Sentinel, choices))
	}
	return p.questions(own.Drill, what, at("drill"))
}

// questions checks the owner's checks of a drill.
func (p *parser) questions(d Drill, what string, tok *token.Token) error {
	if !d.IsZero() && d.Every.IsZero() {
		return p.at(tok, fmt.Sprintf("the drill of %s does not say when", what), "add every: daily")
	}
	for _, q := range d.Checks {
		if (q.SQL == "") == (len(q.Command) == 0) {
			return p.at(tok, fmt.Sprintf("a check in the drill of %s is neither sql nor command, or both", what), `as in { sql: "select count(*) > 0 from orders" } or { command: [./probe, --quick] }`)
		}
	}
	return nil
}

// smallest is the smallest of the numbers.
func (k Keep) smallest() int {
	return min(k.Last, k.Daily, k.Weekly, k.Monthly, k.Yearly, k.Minimum)
}

// named checks names that refer to other parts of the file.
func (p *parser) named(tok *token.Token, what, kind string, names, known []string) error {
	seen := map[string]bool{}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return p.at(tok, fmt.Sprintf("%s names %s %q, which is not in this file", what, kind, name), suggest(name, known))
		}
		if seen[name] {
			return p.at(tok, fmt.Sprintf("%s names %s %q twice", what, kind, name), "remove one of them")
		}
		seen[name] = true
	}
	return nil
}

// whole checks what a source is promised in all, its class included.
func (p *parser) whole(c *Config, name string) error {
	s := c.Sources[name]
	tok, _ := p.find("sources", name)
	if len(s.Repositories) == 0 {
		return p.at(tok, fmt.Sprintf("source %s names no repository", name), "add repositories: ["+strings.Join(append(c.RepositoryNames(), "local")[:1], "")+"]")
	}
	if s.Copies() > len(s.Repositories) {
		return p.at(tok, fmt.Sprintf("source %s is to be durable in %d repositories and goes to %d", name, s.Copies(), len(s.Repositories)), "name more repositories, or lower durable_in")
	}
	if m := s.Keep.Move; !m.IsZero() {
		tok, _ := p.find("sources", name)
		if err := p.named(tok, "keep of source "+name, "repository", []string{m.To}, c.RepositoryNames()); err != nil {
			return err
		}
		switch {
		case slices.Contains(s.Repositories, m.To):
			return p.at(tok, fmt.Sprintf("source %s moves what is old to %s, where all of it goes already", name, m.To), "take it out of repositories, or move to another one")
		case m.After <= 0 || m.After < s.Window:
			return p.at(tok, fmt.Sprintf("source %s moves what is younger than its window to %s", name, m.To), "give move an after that is as long as the window or longer, as in { after: 60d, to: "+m.To+" }")
		}
	}
	if err := p.named(tok, "after of source "+name, "source", s.After, c.SourceNames()); err != nil {
		return err
	}
	if loop := c.loop(name, nil); loop != nil {
		return p.at(tok, "sources wait for each other: "+strings.Join(loop, " after "), "take one of them out of after")
	}
	tok, _ = p.find("sources", name, "hold")
	for _, h := range s.Hold {
		if h.Until.IsZero() || h.Reason == "" || h.By == "" {
			return p.at(tok, fmt.Sprintf("a hold of source %s lacks until, reason or by", name), `as in { until: 2027-01-31, reason: "case 12", by: anna }`)
		}
	}
	return p.exceptions(s, name)
}

func (p *parser) exceptions(s Source, name string) error {
	tok, _ := p.find("sources", name, "exceptions")
	for _, e := range s.Exceptions {
		if !slices.Contains(Objectives, e.Objective) {
			return p.at(tok, fmt.Sprintf("an exception of source %s has objective %q", name, e.Objective), suggest(e.Objective, Objectives))
		}
		if e.Until.IsZero() || e.Reason == "" || e.By == "" {
			return p.at(tok, fmt.Sprintf("an exception of source %s lacks until, reason or by", name), `as in { objective: drill, until: 2027-01-31, reason: "new disks come in January", by: anna }`)
		}
	}
	return nil
}

// Objectives are what findings are about.
var Objectives = []string{"rpo", "rto", "window", "drill", "check", "deep-check", "copies", "coverage", "spool", "schedule"}

// loop is a way from name through after back to name; nil if there is none.
func (c *Config) loop(name string, way []string) []string {
	if i := slices.Index(way, name); i >= 0 {
		return append(slices.Clone(way[i:]), name)
	}
	for _, next := range c.Sources[name].After {
		if loop := c.loop(next, append(way, name)); loop != nil {
			return loop
		}
	}
	return nil
}

// receivers checks who is told.
func (p *parser) receivers(c *Config) error {
	tok, _ := p.find("notify")
	for i, r := range c.Notify {
		what := fmt.Sprintf("entry %d of notify", i+1)
		if r.To == "" {
			return p.at(tok, what+" does not say to whom", "add to: slack://… or to: env:NAME")
		}
		if secret := secretIn(r.To); secret != "" {
			return p.at(tok, fmt.Sprintf("%s carries %s; no secret stands in this file", what, secret), "put the URL where only the daemon reads it, and write to: file:/run/secrets/NAME, env:NAME, command:… or credential:NAME")
		}
		for _, severity := range r.At {
			if !slices.Contains(severities, severity) {
				return p.at(tok, fmt.Sprintf("%s has severity %q", what, severity), suggest(severity, severities))
			}
		}
		if _, err := notify.ParseHours(r.Quiet); err != nil {
			return p.at(tok, fmt.Sprintf("%s: %v", what, err), hint(err))
		}
		if _, err := notify.ParseClock(r.Summary); err != nil {
			return p.at(tok, fmt.Sprintf("%s: %v", what, err), hint(err))
		}
		if err := p.named(tok, what, "source", r.Sources, c.SourceNames()); err != nil {
			return err
		}
		if err := p.named(tok, what, "class", r.Classes, c.ClassNames()); err != nil {
			return err
		}
	}
	if c.Metrics != nil && !strings.Contains(c.Metrics.Listen, ":") {
		tok, _ := p.find("metrics")
		return p.at(tok, fmt.Sprintf("metrics listen on %q", c.Metrics.Listen), "give an address and a port, as in 127.0.0.1:9465")
	}
	return nil
}

var severities = []string{"info", "warning", "critical"}
