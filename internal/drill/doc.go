// Package drill proves that a backup can be recovered: it restores to scratch through the code of a real restore,
// starts the real engine on the data, asserts that it stands exactly at the target, asks it whether the data is
// sound, and signs what it found. Nothing that it made is left behind, also when it is cancelled; what one left that died is swept by
// the next. It asks for room before, and ends when the disk fills up.
//
// The owner of the data may have questions of his own, which are put after the engine's: queries, read-only, with the value that
// is wanted; and commands, which get a DSN that nobody else on the host can use, are killed with all that they started when they
// end or their time is over, and whose exit code is the answer.
//
// Of some moments there is a fingerprint, which was taken of the source while it ran. A drill that goes to one compares.
//
// A verdict is one of five. Proved: all of it went well. BackupBad: an object is missing or damaged, the engine
// refuses what it holds, it does not come to stand at the target, or a check of the engine fails; Lost says which part that costs.
// CheckFailed: the data is as the engine wants it, and not as its owner does; either the data or the expectation is wrong.
// DataDiffers: the data is sound, and not what a fingerprint says that the source had at that position.
// EnvironmentBad: this host or the way to the store failed (no room, no permission, no connection, the server does
// not start, a command of the owner is not there or takes too long), and the backup is neither proved nor blamed.
//
// A report is a signed note (golang.org/x/mod/sumdb/note): the line "backstay drill v0", the report as JSON, an empty
// line, a signature by the host's key. VerifyReport needs the report and the verifier key only. Its JSON names are a
// contract:
//
//	format                 version of the report, 0
//	source, engine         what was drilled
//	repository             where it was restored from
//	tool, host             version of Backstay and the name of the host that drilled
//	asked                  what was asked for: latest, random, fingerprint, or a target
//	target                 the target that this came to
//	checkpoint             number, size and root (base64) of the newest checkpoint of the repository
//	began, ended           by the clock of the host, RFC 3339
//	base, segments         ID of the base, number of log segments
//	want                   the position at which the target lies
//	reached                position, time and digest where the engine stopped, by its own word; notes on what it left
//	sentinel               the row that was written into the source each second, as it was recovered: time and count; absent if
//	                       there is none, and then the time in reached says which second was recovered
//	clock                  whose clock stamped the time in reached
//	local                  what of the log came from the spool of the host: segments, commits, bytes, to, until
//	verdict                proved, backup-bad, check-failed, data-differs, environment-bad
//	reason                 why, in one sentence
//	lost                   of backup-bad and data-differs: which part of the data
//	damaged                of backup-bad: repository, name and base of the object, if it is one
//	alternatives           of backup-bad: repositories and bases that reach the same target
//	checks                 name, ok, detail and seconds of each question asked of the server; of those of the owner
//	                       (owner) also want and got, the output of a command, and why it is unasked
//	compared               with a fingerprint of the source: taken, tables and rows that were compared, left_out, different; or
//	                       why nothing was; absent for a target of which there is none
//	laid_bytes, log_bytes  plain bytes of the base written, of log replayed
//	fetch_bytes            bytes of the objects, as stored
//	fetch_seconds          opening the base's index, waiting for log
//	lay_seconds            fetching, verifying and writing the base's blocks, making them durable
//	replay_seconds         replaying log, without waiting for it
//	start_seconds          starting the server
//	verify_seconds         asking it
//	drill_seconds          all of it
package drill
