// Package schedule decides what is due, and has it done.
//
// An Expr says when: cron or plain words. Hours say when not, and over which hours words without a time of day are spread. A Job
// is what is done again and again for a source; a State is what is remembered of it.
//
// Due is a pure function of jobs, states and the time: what is due, what it waits for, and when the rest comes, each with its reason
// in one sentence. It reads no clock and starts nothing, so that what is printed is what is done. Runner asks it, and carries out
// what it says.
//
// Promises:
//   - A job whose time has passed while the host slept or was down runs once, however many times were missed.
//   - A wall time that a change of clocks skips counts at the change; one that comes twice counts once. A clock that was wrong, ahead or
//     behind, delays no job by more than one of its periods after it is right again.
//   - One job of a source runs at a time. A job begins after those that it comes after, but never waits for one that is paused or
//     that has given up.
//   - What was interrupted goes on, at once or when it is resumed; whoever does it is told. Doing a job twice must change nothing.
//
// It does not know what a job does, what a source is, nor where states are kept.
package schedule
