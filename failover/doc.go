// Package failover keeps a Go program's transactions whole while its PostgreSQL primary dies or moves.
//
// It has two parts, which are of use alone too:
//
//   - A Connector for database/sql. It leads to the server that may be written to, waits for one while there is none, and
//     never goes back to a server whose timeline lies behind one that it has seen. When the primary changes, the
//     connections of the pool are checked or dropped before anybody gets one, so that a change shows as a pause and not
//     as an error of the next query.
//   - RunTx, the only place where anything is tried again. It runs a function in a transaction, all of it once more where
//     that is safe, and finds out what became of a COMMIT whose answer was lost.
//
// The URL names one address, such as that of Backstay's proxy, or all servers ("postgres://db1,db2,db3/shop"). It needs
// nothing else of Backstay; the module imports none of it.
//
// # What is tried again
//
//	signal                                       meaning                       RunTx
//	no connection, 08001, 08004, 57P03           no server, or not yet one     waits and tries again
//	57P01, 57P02, 08003, 08006, end of stream    the session is lost           all of it again, if COMMIT was not sent
//	25006                                        a standby answered            all of it again, elsewhere
//	40001, 40P01                                 conflict, deadlock            all of it again
//	53300, 57P05                                 too many, idle for too long   waits and tries again
//	a loss after COMMIT was sent, 08007, 40003   it may have happened          asks (see below)
//	COMMIT that waited no longer for standbys    it may get lost yet           asks (see below)
//	everything else: 23…, 28…, 42…               it is wrong                   never
//
// So the function must be one that can run more than once: what it does outside of the database happens each time.
//
// # What became of a COMMIT
//
// Before COMMIT, RunTx asks for the number of the transaction and writes a small mark behind what it wrote. If the answer
// to COMMIT is lost, it asks the server that is the primary then:
//
//   - "Aborted", or a number that was not given yet, is certain: the transaction is not in this history. It runs again.
//   - "Committed" is certain while the server lived on. After a crash or a promotion the number may have been given a
//     second time, to somebody else. It was not if the server took over at a place behind the mark, which it tells
//     (pg_last_wal_replay_lsn); if it took over before the mark, the transaction is lost, and it runs again.
//   - Where that can't be told (a second promotion in between, a server that was restarted after it was promoted), the
//     error is an *UnknownOutcomeError.
//
// Config.Marker removes that doubt, at the cost of one row for each transaction: the row is there exactly if the transaction
// is. Without it two recoveries of servers within one wait could still make somebody else's transaction pass for ours.
//
// What RunTx found committed, it has confirmed: a later write must come back from the standbys that synchronous
// replication asks for, as COMMIT itself does. If it does not, the error is an *UnreplicatedError.
//
// # What it can't do
//
// Statements outside of RunTx are not tried again, not even by database/sql: one that was sent is never called safe. Without synchronous
// replication what was acknowledged may be lost by a failover; no client can see that. If an old primary can still be
// written to and is the only server that answers a process that has just begun, it is taken for the primary: fencing is
// the work of those who promote.
package failover
