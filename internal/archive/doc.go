// Package archive protects one source continuously: it follows the log into the spool and ships it, with the bases,
// to every repository of the source.
//
//	source ─ Follow ─▶ capture ─▶ spool ─┬─▶ shipper A ─▶ repository A      tips, segments, heartbeats
//	                                     ├─▶ shipper B ─▶ repository B      each at its own pace
//	                                     └─▶ cutter ─▶ sealed segments      sealed once, appended by every shipper
//	source ─ TakeBase ─▶ keeper ─▶ the first repository that accepts it ─▶ copies to the others
//
// What holds:
//
//   - A piece is acknowledged to the source when it is durable in the spool, or in so many repositories too with
//     AckRepository. An acknowledged piece leaves the spool only when every repository has it in a full segment.
//   - One slow, hanging or dead store delays neither the source nor the other repositories. At the spool's bound
//     capture stops; what the source does not keep meanwhile is a recorded gap, and a new base is taken.
//   - After a crash at any point it goes on from the spool; without the spool, from the newest position that a
//     repository has.
//   - A source whose log cannot be continued, and a repository that lacks a base or log that another one has, are
//     healed without being asked.
//
// It decides neither when bases are due nor what may be forgotten.
//
// Goroutines, all begun by Run and ended before it returns: one for capture, one for the cutter, one for bases, and
// two for each repository (log, and copies of bases).
package archive
