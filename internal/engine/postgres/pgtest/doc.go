// Package pgtest gives tests real PostgreSQL servers, and an application whose every commit is known.
//
// A Cluster is a server of a version that is installed here: with a data directory, a port on loopback and a socket of its
// own, set up as a careful person would, ended and removed when the test is over, also when the test binary is killed. It
// can be killed with all its processes, started again, copied to a standby, promoted. A Ledger writes to it and keeps
// outside what it wrote, with positions and times, so that a restored server can be compared with it row by row.
//
// Tests may run as root: the servers then run as user postgres. Synced writes are off (fsync=off) unless a test asks for
// them, as no test here cuts the power.
package pgtest
