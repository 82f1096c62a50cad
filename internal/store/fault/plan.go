package fault

import (
	"strings"
	"sync"
)

// Op is a kind of call.
type Op string

// The calls that a Plan counts. Write and Commit are those of a store.File.
const (
	Put         Op = "put"
	Open        Op = "open"
	Stat        Op = "stat"
	List        Op = "list"
	Delete      Op = "delete"
	Lock        Op = "lock"
	LockedUntil Op = "locked-until"
	Create      Op = "create"
	Write       Op = "write"
	Commit      Op = "commit"
)

// Always as a Rule's Times never ends.
const Always = -1

// Rule says which calls have which Effect.
type Rule struct {
	Op     Op     // empty means any
	Name   string // names, where "*" stands for anything, slashes too; empty means any
	Nth    int    // the first call that is hit, among those that match Op and Name, counted from 1; zero means 1
	Times  int    // how many are hit from there on; zero means 1; Always has no end
	Effect Effect

	seen int
}

// Plan counts calls and picks the effect of each. The zero Plan has none. It may be shared between stores.
type Plan struct {
	mu    sync.Mutex
	rules []*Rule
	calls map[Op]int
	fired int
}

// NewPlan returns a plan of the rules; of several that match a call the first counts.
func NewPlan(rules ...Rule) *Plan {
	p := &Plan{}
	p.Add(rules...)
	return p
}

// Add puts further rules at the end. Each counts the calls that match it from now on.
func (p *Plan) Add(rules ...Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range rules {
		r.Nth = max(r.Nth, 1)
		if r.Times == 0 {
			r.Times = 1
		}
		p.rules = append(p.rules, &r)
	}
}

// Clear takes all rules away: the store is well again. The counters stay.
func (p *Plan) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

// Calls tells how many calls of a kind there were; of all kinds for "".
func (p *Plan) Calls(op Op) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if op != "" {
		return p.calls[op]
	}
	all := 0
	for _, n := range p.calls {
		all += n
	}
	return all
}

// Fired tells how many calls had an effect: a sweep over the nth call ends when none had.
func (p *Plan) Fired() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fired
}

func (p *Plan) next(op Op, name string) Effect {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil {
		p.calls = map[Op]int{}
	}
	p.calls[op]++
	var hit *Rule
	for _, r := range p.rules {
		if r.Op != "" && r.Op != op || r.Name != "" && !match(r.Name, name) {
			continue
		}
		r.seen++
		if hit == nil && r.seen >= r.Nth && (r.Times == Always || r.seen < r.Nth+r.Times) {
			hit = r
		}
	}
	if hit == nil {
		return Effect{}
	}
	p.fired++
	return hit.Effect
}

// match tells whether pattern, in which "*" stands for anything, covers all of name.
func match(pattern, name string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !strings.HasPrefix(name, first) {
		return false
	}
	name = name[len(first):]
	if !star {
		return name == ""
	}
	for i := range len(name) + 1 {
		if match(rest, name[i:]) {
			return true
		}
	}
	return false
}
