// Package etcd coordinates hosts through etcd: one that runs elsewhere, or voters embedded in this very binary.
//
// What it keeps: small documents under a prefix, changed by compare-and-swap on their modification revision; reads are linearizable. What
// it promises is lease.Store's contract and nothing more. etcd's leases are never used: when its leader changes, each is refreshed to its
// full length, so that one of 5 s took 10 to 12 s to end. Who leads is a hint here: of the embedded voters the one that leads raft, of the
// hosts around an external etcd the one that a document names.
//
// Every question goes to one end point at a time, the last one that answered first, and to the next one if there is no answer within
// Config.Try. gRPC's own balancing would go on sending every third question to a host that is cut off, for many seconds.
//
//	Start ──▶ ready ──▶ Run ──▶ stopped          Join: added as a learner, then promoted to voter when its log is whole
//	             └────▶ failed (its disk, a broken log): Run tells; nothing else of the process ends
package etcd
