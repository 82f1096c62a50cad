// Package retention decides what of a history may be forgotten, and says of everything else which rule keeps it.
//
// Decide is a pure function of values: it reads no clock and deletes nothing. Its Decision is printed, audited, and then
// handed to whoever deletes, who refuses what it does not list.
//
// What it promises:
//
//   - Rules are a union. What any rule keeps stays, and where no rule says what may be forgotten, nothing is.
//   - Every moment of the window, and of a hold, that can be recovered stays recoverable, on every timeline. Decide
//     proves that by history.Windows before it answers.
//   - It decides on bases. A base keeps those that it builds on, and the log that makes it consistent. A base of the
//     window, of the counts and of the minimum keeps the log behind it to the end of its line; a base that is there as a
//     daily, weekly, monthly or yearly point keeps that only where the rules say so.
//   - Order is by time, never by timeline or name. Bases of different systems (a server before and after an upgrade) are
//     judged apart: new ones never push out old ones before they can stand in for them.
//   - A base that cannot be recovered, because log or a base below it is missing or because it is damaged, takes nobody's
//     place. The newest bases, at least one, and the newest that a drill proved are never dropped.
//   - Deciding again after the drop, at the same time, drops nothing.
//
// It knows nothing of tips: a segment takes their place, or a sweep removes them.
package retention
