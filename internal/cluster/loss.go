package cluster

import (
	"cmp"
	"fmt"
	"strings"
)

// appointment says why the candidate is appointed: what was found, not what is usual.
func (l *look) appointment() string {
	c := l.candidate()
	text := c.Name + " has " + c.Received.Plain()
	if r := l.state.Request; r != nil && r.To != "" && r.To != c.Name {
		text += fmt.Sprintf(" (%s, which was asked for, %s)", r.To, cmp.Or(l.unfit(l.view.fact(r.To)), "has not promised"))
	}
	risk, open := l.risk(c), l.leftOpen()
	switch {
	case risk != "" && open != "":
		return text + "; " + risk + "; " + open
	case risk != "":
		return text + "; " + risk
	default:
		return text + ", which is all that was acknowledged; " + cmp.Or(open, "nobody else can write")
	}
}

// leftOpen is what the fence of an old primary leaves open, or nothing.
func (l *look) leftOpen() string {
	for _, q := range l.state.Quorums {
		if but, _ := l.cut(q); but != "" {
			return but
		}
	}
	return ""
}

// risk says what is not known to be safe if c is made primary as it is, and who said that it may be done all the same; or nothing.
func (l *look) risk(c *Fact) string {
	var risks []string
	for _, q := range l.state.Quorums {
		if _, ok := l.covers(q); !ok {
			risks = append(risks, l.loss(c, q))
			break
		}
	}
	strict, allowed := *l, "unfenced allows"
	strict.cfg.Unfenced, strict.state.Request = false, nil
	if l.loses() {
		allowed = l.state.Request.By + " accepted"
	}
	if strict.uncut() != "" {
		risks = append(risks, cmp.Or(l.state.Primary, "an old primary")+" may still take writes of clients that bypass the proxies, which "+allowed)
	}
	return strings.Join(risks, "; ")
}

// loss says what may be lost of what the primary of q acknowledged, which nobody vouches for. How far it came after it was last heard, nobody knows.
func (l *look) loss(c *Fact, q Quorum) string {
	allowed := "max_loss allows"
	if l.loses() {
		allowed = l.state.Request.By + " accepted"
	}
	last := l.lastKnown()
	if n := l.lossOf(c.Received, last); n > 0 {
		return fmt.Sprintf("up to %d bytes behind it, to %s, and what %s wrote after that may be lost, which %s", n, last.Plain(), q.Primary, allowed)
	}
	return fmt.Sprintf("what %s wrote after that may be lost, which %s", q.Primary, allowed)
}

// opened says who is primary, and again what its promotion left open: people read the newest reason.
func (l *look) opened() string {
	if l.state.Risk != "" {
		return l.state.Primary + " is primary; " + l.state.Risk
	}
	return l.state.Primary + " is primary"
}
