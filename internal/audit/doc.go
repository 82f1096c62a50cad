// Package audit keeps the record of what was done: every base, drop, restore, drill, key and policy event with who, why
// and the outcome. Each host has one log. It is a chain of ledgers (package ledger) in a store: local first, so that an
// entry needs no network, and copied from there into the stores of the repositories.
//
//	audit/NAME/000000/checkpoint/…   a ledger, the first volume; NAME is the host and its signing key
//	audit/NAME/000000/bundle/…
//	audit/NAME/000001/…              begun when volume 0 was full; its first leaf holds the root of volume 0
//
// What Append has acknowledged is durable, and cannot be altered, left out, moved or cut off without notice:
//
//   - within a volume the ledger's tree and signature show it;
//   - from volume to volume the first leaf does, which names size and root of the volume before;
//   - at the end of the log, what this host saw last (Memory) and what the copies hold show it.
//
// Volumes are bounded so that a command which appends one entry reads thousands of entries at most, never the years
// before. Several processes of one host may append at once: a checkpoint's number is taken once, and whoever loses it reads
// again. An entry whose Append was interrupted may be appended again under the same ID and stands once.
//
// The package decides nothing and knows no secret. What looks like a password or a key in a text is masked before it is
// signed, for what stands in the log can never be taken out of it.
package audit
