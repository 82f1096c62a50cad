// Package postgres carries PostgreSQL's protocol for package proxy: it walks the frames in place, so that it knows at
// each moment whether a session is idle, in a transaction, or waiting for an answer.
//
// What it does with a session when the primary changes:
//
//	idle, holds nothing        waits without a connection, goes on at the new primary, hears of nothing
//	idle, holds what moves     likewise: settings, role, prepared statements are made again at the new primary
//	idle, holds what does not  57P01 while it is idle: temporary tables, advisory locks, LISTEN, held cursors, or doubt
//	in a transaction           57P01 at once: it did not happen and may be run again
//	COMMIT under way           08007: nobody here knows whether it happened
//
// What a session holds is asked of the session itself, while the old primary still answers: command tags miss what a
// function did. What no view shows is read from the texts of the statements that pass (see scan). What is left in doubt
// closes the session; it is never moved.
//
// To log in at a second server for a client the proxy ends SCRAM-SHA-256 itself, with the servers' own verifier, and keeps
// in memory the client's key that the login shows. Where it has no verifier for a role the login passes through, and such
// a session is never moved.
package postgres
