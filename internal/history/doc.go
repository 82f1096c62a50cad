// Package history describes, as plain values, what is known of one source: its base backups, the segments of its
// log, where they join, where they do not, and which moments can therefore be recovered.
//
// Nothing here does I/O or reads a clock. Every engine and every repository speaks in these values, so a plan, a
// status line and a drill all come from the same few rules:
//
//   - Continuity in position is equality: one segment's To is the next one's From. A timeline begins at a Fork of
//     its parent, or at a base taken after a gap.
//   - Continuity in time: a segment holds everything that was committed in (Since, Until]. Where the next Since is
//     later than the last Until nobody was watching in between; positions still join, but the moments in the hole
//     cannot be told apart and are no targets.
//   - Where a tip and a segment cover the same stretch, the longest counts.
package history
