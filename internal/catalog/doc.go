// Package catalog is an index, in one SQLite file, of what the repositories hold and what this host did: so that
// status, plan and the scheduler need not read a million leaves to answer.
//
// It is no truth. Bases, log, reports and who did what lie in the repositories and in the audit log; losing the file loses
// no protection, and Rebuild makes it again from there. What cannot be read again is only of use while it is fresh: when
// each object was last read, the scheduler's and the notifier's notes, and how the durable position went.
//
//	holding   one repository of one source: a row that sums it up, kept by Sync
//	object    what its ledger lists, and when each was last known to be good
//	base      the bases of a holding
//	run       one job; activity sums the runs up by source and kind
//	drill     one drill report
//	position  durable positions, by the minute for a day, by the hour for two months, then by the day
//	state     what others keep here, opaque
//
// Questions behind status read the rows that sum up, so they cost what the number of sources asks for, not the number of
// segments.
//
// One process, the one that holds the host's lock, opens the file with Open; commands beside it with Join. All may read and
// write at once: readers never wait, writers wait for each other. A crash at any point leaves a valid file. A file that is
// damaged or of a newer version is moved aside by Open, never by Join; what happened is told by Opened.
package catalog
