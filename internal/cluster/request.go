package cluster

import "fmt"

// BusyError is why a request is not taken now.
type BusyError struct {
	Reason  string
	Release bool // a failover that may lose something would be taken
}

// Error prints the reason.
func (e *BusyError) Error() string { return e.Reason }

// Asked is the state with what a person asks for in it; a *BusyError where something is under way. A failover that may lose something is also taken
// where another one is under way that waits for what may never come, and replaces what was asked for before.
func (s State) Asked(r Request) (State, error) {
	release := s.Phase != Draining && (s.Request == nil || !s.Request.Lose) && s.Epoch > 0
	switch {
	case s.Request != nil && *s.Request == r: // a first try was not answered, and was carried out
	case release && r.Kind == Failover && r.Lose:
	case s.Request != nil:
		return s, &BusyError{fmt.Sprintf("a %s asked for by %s is under way", s.Request.Kind, s.Request.By), release}
	case s.Phase != Serving:
		return s, &BusyError{fmt.Sprintf("the cluster is %s: %s", s.Phase, s.Reason), release}
	case r.Kind == Switchover && r.To == s.Primary:
		return s, fmt.Errorf("%s is the primary already", r.To)
	}
	s.Request = &r
	return s, nil
}

// loses: a person accepts that acknowledged writes are lost, or may be.
func (l *look) loses() bool { return l.state.Request != nil && l.state.Request.Lose }
