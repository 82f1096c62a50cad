// Package recovery brings a source back to a moment: PlanFor decides from what (pure), Run does it.
//
// Run goes:
//
//  1. take the folder: make it, or see that it is empty; mark it with the folder .backstay-restore, in which a file is
//     locked while this process lives and in which all that follows happens
//  2. see that the disk has room for the base
//  3. lay the base, every block's digest verified
//  4. hand the chain's segments to the engine, which replays them up to the target
//  5. ask where the engine stopped; anything but the target is an error
//  6. sync files and folders, move them up to their place, let the engine settle there, remove the mark
//
// What is damaged or cannot be read in one repository is taken from another of the same source, if the Origin has a
// Mirror: objects are equal in all, and the ledger of the first says what they must be. The result names them.
//
// A folder that holds anything is refused, and nothing outside the folder is touched. If a step fails, or ctx ends,
// what was made is removed again. A crash leaves the folder marked: the next Run into it begins anew, unless what
// made the mark still lives or meant another source.
package recovery
