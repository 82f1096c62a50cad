// Package datadir knows a PostgreSQL data directory as files, versions 12 to 18: pg_control, the checksums of pages,
// which files belong to a base, backup_label, and the backup manifest.
//
// It reads and it computes; it starts nothing, connects to nothing and never writes into a data directory. What it
// reads may be rewritten by a running server at the same time, and every reader here says how it copes with that.
//
// Names are relative to the data directory and slash-separated. What the server keeps in a tablespace goes by the name
// that it has below the link, "pg_tblspc/16385/PG_15_202209061/5/16390". Positions in the log are LSNs as the server
// counts them, in bytes.
package datadir
