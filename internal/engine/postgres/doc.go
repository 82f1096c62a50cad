// Package postgres is the engine for PostgreSQL servers 12 to 18. It takes bases of a running server, follows its log byte
// by byte, and brings a base and its log back to any position with a real server.
//
// It promises:
//
//   - Position.Seq is an LSN, and a position means that every byte of log before it is there. Pieces end where records end;
//     parts of a record that is longer, or that goes on in the next file, do not move the position.
//   - The server hears "flushed" only after ship returned nil, at once, and only of what was shipped: as a synchronous
//     standby no commit is answered before it is safe. While a shipment takes its time the server hears that we live,
//     and what comes meanwhile goes with the next shipment. Memory is bounded; beyond it the server waits.
//   - Each commit and restore point has a mark. Times of marks never go back, as recovery to a time takes the first
//     commit that is later for the end; one that was stamped before a moment which was already said to be whole, but not
//     answered by then, comes just after that moment.
//   - Log files are shipped as the server has them: from a base or a fork on from the beginning of the file. History
//     files of timelines come before the log of the timeline.
//   - What cannot be continued is a *history.GapError: log that was removed, a timeline that does not descend from ours, a
//     server that has lost log (the last record that is here is compared with the server's), a stretch written with
//     wal_level = minimal, log that is damaged each time it is read (followdamage.go). What may come again is asked for
//     again, or an error. Another cluster behind the URL is refused.
//
// It leaves one thing at the server: the replication slot, see slot.go.
//
//	Connect ──▶ TakeBase ──▶ Follow ──▶ … ──▶ Remove
//	              slot         │
//	                           ├─ receiver: stream ─▶ scanner ─▶ queue
//	                           ├─ shipments: queue ─▶ pieces ─▶ ship ─▶ confirm
//	                           └─ pulse: "we live", "what time is it"
package postgres
