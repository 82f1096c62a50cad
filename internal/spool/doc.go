// Package spool keeps the log that is durable on this host and not yet in every repository.
//
// A spool is a folder of journals, journal-000001 and so on. Each is only appended to, and deleted as a whole when
// every repository has all of it. Between them they hold an unbroken line of records: pieces of log, and breaks,
// where a line ended and another began (a gap and a new base, a fork of the source, or the first base of all).
//
// It promises:
//
//   - What Append has acknowledged survives a crash at any point. A batch that was not acknowledged is there as a
//     whole or not at all.
//   - Nothing is dropped to make room: at the bound Append fails with ErrFull and changes nothing.
//   - Damage is never skipped. A torn end, which only a batch that was never acknowledged can leave, is cut off when
//     the spool is opened; anything else that is not as it was written is a CorruptError that names the file.
//
// It does not know repositories: whoever ships tells it with Release what all of them have.
//
// # Journal
//
// All numbers are little-endian. A journal is one head record and then batches of records. A record is
//
//	magic    4 bytes  "BSp0"
//	header   4 bytes  length of the header
//	data     4 bytes  length of the data
//	dataCRC  4 bytes  CRC32C of the data
//	headCRC  4 bytes  CRC32C of the 16 bytes before it and of the header
//	the header, the data
//
// The header begins with the kind, the number of the journal and the number of the batch, as varints. A head record
// says with which bookmark the journal begins and how many bytes of the journal before it count. The last record of
// a batch carries a flag; batches are numbered through all journals. A batch is begun only when the one before it is
// on disk, so a bad record followed by a record of a later batch is damage and not a torn end. A spool that was
// closed ends with a seal, a batch of its own, so that damage to the last batch shows too. Behind the end of a journal
// that is appended to there may be zeros, which count as nothing: room that the next batches do not have to make.
package spool
