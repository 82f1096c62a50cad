//go:build !linux

package process

// Yield does nothing: threads have no priority of their own here.
func Yield() {}
