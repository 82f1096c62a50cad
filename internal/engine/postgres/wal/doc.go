// Package wal reads PostgreSQL's write-ahead log, of versions 12 to 18: positions, the names of segment and history
// files, page and record headers, and with a Scanner the boundaries between records and the few records that say
// when something was committed.
//
// It promises:
//
//   - What a Scanner calls a boundary is where the server's own reader says that a record ends (EndRecPtr).
//   - It follows records over pages and segments, the rest of a segment after a switch, and records that a crash cut
//     off and the server overwrote.
//   - Bytes may be fed in pieces of any size; bodies of records are not copied, except those that become events
//     and are cut by the end of a page or of a piece.
//   - What cannot be a continuation of the log is an *EndError, never a guess; no input makes it panic or hold more
//     than a small part of what it was fed.
//
// It does not read what records do to pages: for that it would have to be a PostgreSQL.
//
// The layouts mirror src/include/access/{xlog_internal,xlogrecord,xact}.h of the server. All numbers are
// little-endian, as on every platform that Backstay runs on.
package wal
