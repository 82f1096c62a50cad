// Package killpoint names the steps between which a crash must lose nothing.
//
// At is called where one durable effect ends and the next begins. In the shipped binary it does nothing. Built with
// the tag "crashtest" it kills the process, as kill -9 would, at the step and the visit that the environment
// variable BACKSTAY_KILL_AT names ("ledger-created:3"). The crash tests walk through Steps.
package killpoint

// Step is a place in the code between two durable effects.
type Step string

// The steps: those of a repository's first minute, then those that a commit passes in their order, then the others.
const (
	KeyPut          Step = "key-put"          // the first key object stands, its copy does not
	KeysPut         Step = "keys-put"         // both stand, no checkpoint lists them
	SpoolWritten    Step = "spool-written"    // a batch is written to the journal, not synced
	SpoolSynced     Step = "spool-synced"     // the batch is durable, the engine does not know
	TipPut          Step = "tip-put"          // a tip stands in the store, no checkpoint covers it
	SegmentSealed   Step = "segment-sealed"   // a segment is sealed in the spool, no repository has it
	SegmentPut      Step = "segment-put"      // a segment stands in the store, no checkpoint covers it
	LedgerBundled   Step = "ledger-bundled"   // a bundle stands, no checkpoint relies on it
	LedgerCreated   Step = "ledger-created"   // a checkpoint stands, its writer does not know
	TipsDropped     Step = "tips-dropped"     // covered tips are deleted
	SpoolReleased   Step = "spool-released"   // the spool let go of what all repositories have
	BasePack        Step = "base-pack"        // a pack of a base stands
	BaseManifest    Step = "base-manifest"    // the manifest stands, no checkpoint covers it
	BaseCommitted   Step = "base-committed"   // the base exists, its source does not know
	LogCheckpointed Step = "log-checkpointed" // the engine moved the source's own log on
	Claimed         Step = "claimed"          // a claim stands, nobody has looked whether what it claims does
	DropListed      Step = "drop-listed"      // a leaf drops objects, all of them stand
	DropDeleted     Step = "drop-deleted"     // one of them is deleted
	RepairRemoved   Step = "repair-removed"   // a damaged object is deleted, its good copy was read and is not put yet
	RestoreLaid     Step = "restore-laid"     // the base is laid, nothing is replayed
	RestoreReplayed Step = "restore-replayed" // all is replayed, the folder is still marked unfinished
)

// Steps lists all of them.
var Steps = []Step{
	KeyPut, KeysPut, SpoolWritten, SpoolSynced, TipPut, SegmentSealed, SegmentPut, LedgerBundled, LedgerCreated, TipsDropped,
	SpoolReleased, BasePack, BaseManifest, BaseCommitted, LogCheckpointed,
	Claimed, DropListed, DropDeleted, RepairRemoved, RestoreLaid, RestoreReplayed,
}
