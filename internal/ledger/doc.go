// Package ledger keeps a transparency log in a store: leaves that are only ever added, under numbered checkpoints
// that are signed and only ever created. What a checkpoint covers cannot be altered, left out or moved without notice.
//
//	PREFIX/checkpoint/000000000412   signed note: size and root of the tree, tips, how far all is known to be whole;
//	                                 behind it the leaves that no bundle holds yet
//	PREFIX/bundle/000000             256 leaves, JSON lines
//
// To append is to create checkpoint n+1; of several writers that share nothing but the store one wins, the others
// read the new head and try again on top of it. What Append has acknowledged stays in the log for ever, and a crash at
// any point leaves a readable log. Bundles hold only leaves that a checkpoint covered before, so that whoever writes
// a bundle writes the same bytes. Old checkpoints are deleted when newer ones have stood for ten minutes.
//
// A Log verifies what it reads: the newest checkpoint's signature by a trusted key, the root of the tree computed from
// the leaves themselves, and that the tree extends what was seen before, by this Log and by this host (Seen). It
// does not know what the leaves mean.
package ledger
