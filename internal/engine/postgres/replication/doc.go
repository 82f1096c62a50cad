// Package replication speaks PostgreSQL's streaming replication protocol, physical part, with servers 12 to 18: who
// the server is, slots, timeline histories, the stream of log, and base backups.
//
// It mirrors the chapter "Streaming Replication Protocol" of PostgreSQL's documentation (protocol-replication); the
// messages inside of the stream are in message.go, those of a base backup in backupmessage.go. It knows nothing of
// what the log says (package wal does) and keeps no state beyond one connection. Connections are pgconn's.
//
//	Open ──▶ Conn ──┬─ Identify, Show, TimelineHistory, CreateSlot, ReadSlot, DropSlot
//	                ├─ Stream: Receive … *EndOfTimeline; Confirm from any goroutine
//	                └─ BaseBackup: Next … io.EOF; then Stop is known
//
// A Conn that streams or sends a backup does nothing else afterwards but Close.
package replication
