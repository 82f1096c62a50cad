// Package sqlite is the engine for SQLite database files. It copies a database while any number of processes write
// to it, follows each of their commits, and lays the database down again at the commit that was asked for.
//
// It promises:
//
//   - In WAL mode each commit is a position (its TXID is Position.Seq) with an LTX file of its own, stamped within
//     50 ms of the moment at which it became visible. No checkpoint, ours or the application's, can remove a
//     frame before it was shipped: see followwal.go.
//   - In rollback-journal mode the file is compared with a table of page checksums after its change counter moved;
//     what one look found is one position.
//   - Each LTX file carries the checksum of the whole database before and after it. Replay recomputes it.
//   - What cannot be continued without a hole is a *history.GapError, never a guess.
//
// It writes nothing into the database and makes no tables in it. It does checkpoint the WAL, since it keeps the
// application's own checkpoints from finishing.
//
//	Connect ──▶ TakeBase ──▶ Follow ─────────────────────────────┐
//	   │                       │  WAL: pin, capture, ship, unpin  │
//	   │                       │  rollback: look, compare, ship   │
//	   └─────── bookmark ──────┴── resume ── GapError ◀───────────┘
package sqlite
