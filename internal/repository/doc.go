// Package repository keeps the history of one source sealed in a store: bases and log that only a reader's key opens,
// under a ledger that shows what was altered, left out or put back.
//
// Words:
//
//   - A source has a name, and everything of it lies below that name in the store.
//   - Packs and segments are sealed to the identity of the source. A key object holds that identity, wrapped for each
//     reader, and says who may sign. Key objects are numbered and never replaced.
//   - A leaf of the ledger lists one object (key, base, segment, report) or event (gap, fork, drop). Folding the
//     leaves gives the History. An object that no leaf and no tip line lists does not count: a restore refuses it.
//   - Tips are small early segments, listed in the newest checkpoint until a segment covers them.
//
// What must hold:
//
//   - An object is durable before it is listed, and listed before the caller is told; it is deleted only after the
//     leaf that drops it is durable.
//   - Every writing call may be repeated after an error: what stands already is not made twice.
//   - Without a key: everything but reading contents and changing keys.
package repository
