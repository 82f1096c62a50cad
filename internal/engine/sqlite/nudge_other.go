//go:build !linux

package sqlite

// nudge is nothing here: we look instead. See nudge_linux.go.
type nudge struct{}

func newNudge(string) *nudge { return nil }

func (*nudge) arm() bool                { return false }
func (*nudge) disarm()                  {}
func (*nudge) written() <-chan struct{} { return nil }
func (*nudge) close()                   {}
