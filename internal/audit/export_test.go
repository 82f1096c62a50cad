package audit

// SetFull makes the volumes hold n leaves.
func (l *Log) SetFull(n int64) { l.full = n }

// Mask is mask.
func Mask(s string) string { return mask(s) }

// Volume is what bundles of a volume are called.
func Volume(log string, n int) string { return prefix(log, n) }
