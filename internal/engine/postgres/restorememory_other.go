//go:build !linux && !darwin

package postgres

// memory is not known.
func memory() int64 { return 0 }
