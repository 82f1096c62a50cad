// Package trace sends what the daemon does to an OpenTelemetry collector: a backup, a restore, a drill is one trace,
// its phases are spans of it, and the log records that are written meanwhile carry the same ids.
//
// It promises to stay out of the way. Without an end point nothing is made and Begin costs next to nothing. With one,
// spans wait in a bounded queue beside the work; a collector that is away loses them, is reported once, and delays
// neither the work nor, beyond the deadline that the caller gives, the end. There is no state of the process: the
// tracer travels in the context that Start returns, so that two daemons in one process do not mix.
//
// Spans carry names, sizes and the texts of errors, which hold no secrets, as everywhere. The package knows nothing of
// what is traced.
package trace
