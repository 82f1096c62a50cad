package etcd

import (
	"cmp"
	"fmt"
	"slices"
)

// Turnover is what a person wants of the voters: some come, some leave. A voter whose folder was lost leaves and comes again.
type Turnover struct {
	In  []Voter
	Out []string
}

// Verb is what one step does.
type Verb string

// The steps of a turnover.
const (
	Admit   Verb = "add"     // as a learner, which is sent everything and has no vote
	Promote Verb = "promote" // a learner that has nearly all of the log: it votes from then on
	Dismiss Verb = "remove"
)

// Step is one change of the voters. After each a majority of those that are left answers.
type Step struct {
	Verb  Verb
	Voter Voter
	Leads bool // of Dismiss: it leads now, and leadership is moved first
}

func (s Step) String() string {
	switch s.Verb {
	case Admit:
		return "add " + s.Voter.Name + " without a vote, and wait until it has the log"
	case Promote:
		return "give " + s.Voter.Name + " a vote"
	}
	if s.Leads {
		return "have another voter lead, and remove " + s.Voter.Name
	}
	return "remove " + s.Voter.Name
}

// RefusedError says why a turnover is not begun.
type RefusedError struct{ Reason, Do string }

func (e *RefusedError) Error() string { return e.Reason }

// Hint says what to do instead.
func (e *RefusedError) Hint() string { return e.Do }

func refuse(do, reason string, about ...any) error {
	return &RefusedError{fmt.Sprintf(reason, about...), do}
}

// Steps are those of a turnover, given the seats as they are. Who does not answer leaves first, since the majority of those that are left is then
// no larger than before; then learners come and are promoted one by one; whoever answers leaves last, and never before its successor votes. Done
// again after it broke off, it goes on where it was. It is refused, with a *RefusedError, where a majority would be lost on the way or
// an even number of voters be left.
func (t Turnover) Steps(seats []Seat) ([]Step, error) {
	p := &planning{seats: slices.Clone(seats)}
	if err := t.check(seats); err != nil {
		return nil, err
	}
	leaving := t.leaving(seats)
	for _, s := range leaving {
		if !s.Answers {
			p.do(Dismiss, s.Voter, false)
		}
	}
	for _, v := range t.In {
		p.admit(v)
	}
	for _, s := range leaving {
		if s.Answers {
			p.do(Dismiss, s.Voter, s.Leads)
		}
	}
	if err := p.wrong(); err != nil {
		return nil, err
	}
	return p.steps, nil
}

func (t Turnover) check(seats []Seat) error {
	for _, name := range t.Out {
		i := slices.IndexFunc(seats, func(s Seat) bool { return s.Name == name })
		if i < 0 {
			continue // it left when this was tried before
		}
		if again := slices.ContainsFunc(t.In, func(v Voter) bool { return v.Peer == seats[i].Peer }); again && seats[i].Answers {
			return refuse("a voter is replaced by itself when its folder was lost", "%s answers, and has all that it needs", name)
		}
	}
	for _, s := range seats {
		coming := slices.ContainsFunc(t.In, func(v Voter) bool { return v.Peer == s.Peer })
		if s.Learner && !coming && !slices.Contains(t.Out, s.Name) {
			return refuse("finish that, or remove it: backstay cluster voter add, or remove, "+cmp.Or(s.Name, s.Peer), "%s is being added", cmp.Or(s.Name, s.Peer))
		}
	}
	return nil
}

// leaving are the seats that are given up, the one that leads last.
func (t Turnover) leaving(seats []Seat) []Seat {
	var all []Seat
	for _, s := range seats {
		if slices.Contains(t.Out, cmp.Or(s.Name, s.Peer)) {
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b Seat) int { return one(a.Leads) - one(b.Leads) })
	return all
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// planning keeps what the seats are after the steps so far.
type planning struct {
	seats []Seat
	steps []Step
	err   error
}

func (p *planning) admit(v Voter) {
	i := slices.IndexFunc(p.seats, func(s Seat) bool { return s.Peer == v.Peer })
	if i < 0 {
		p.do(Admit, v, false)
		p.do(Promote, v, false)
	} else if p.seats[i].Learner {
		p.do(Admit, v, false) // known already: it is waited for
		p.do(Promote, v, false)
	}
}

func (p *planning) do(verb Verb, v Voter, leads bool) {
	switch i := slices.IndexFunc(p.seats, func(s Seat) bool { return s.Peer == v.Peer }); {
	case verb == Dismiss:
		p.seats = slices.Delete(p.seats, i, i+1)
	case i < 0:
		p.seats = append(p.seats, Seat{Voter: v, Learner: true})
	case verb == Promote:
		p.seats[i].Learner, p.seats[i].Answers = false, true
	}
	p.steps = append(p.steps, Step{verb, v, leads})
	voters, there := p.count()
	if verb == Admit && p.err == nil && there < (voters+1)/2+1 && voters > 1 { // etcd refuses it too, after a long wait: the new one may never come up
		p.err = refuse("replace one that does not answer first", "with %s there would be %d voters, and %d of those that are there answer", v.Name, voters+1, there)
	}
	if p.err == nil && (voters == 0 || there < voters/2+1) {
		p.err = refuse("backstay cluster voter list shows who answers; bring another one back first", "to %s would leave %d of %d voters that answer, and that is no majority", Step{verb, v, false}, there, voters)
	}
}

// wrong is why the whole can't be done.
func (p *planning) wrong() error {
	if voters, _ := p.count(); p.err == nil && voters%2 == 0 && len(p.steps) > 0 {
		return refuse("add or remove two at once, or replace one by another", "%d voters would be left: an even number tolerates no more failures than one less, and can split in halves", voters)
	}
	return p.err
}

func (p *planning) count() (voters, there int) {
	for _, s := range p.seats {
		if !s.Learner {
			voters, there = voters+1, there+one(s.Answers)
		}
	}
	return voters, there
}
