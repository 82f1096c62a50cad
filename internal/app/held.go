package app

import (
	"cmp"
	"fmt"
)

// HeldError says that another process is the agent of a server on this host.
type HeldError struct {
	Data  string
	Owner string // "": nobody knows
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("the server in %s is held by another agent: %s", e.Data, cmp.Or(e.Owner, "a process that is not to be seen from here"))
}

// Hint says what to do about it.
func (e *HeldError) Hint() string {
	return "a server belongs to one cluster, and has one agent: end the other one, or take the member out of one of the files"
}
