package cli

import (
	"reflect"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/app"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/recovery"
	"github.com/backstaydb/backstay/internal/retention"
)

// shapes are the values that --json prints, by command, for docs/reference/json.md.
var shapes = []struct {
	command string
	value   any
}{
	{"backstay status", api.Status{}},
	{"backstay history", []api.History{}},
	{"backstay backup", api.Base{}},
	{"backstay restore", api.Restore{}},
	{"backstay drill", drill.Report{}},
	{"backstay drill verify", verifiedReport{}},
	{"backstay check", []api.Check{}},
	{"backstay key show", []api.Keys{}},
	{"backstay store check", storeReport{}},
	{"backstay plan", []api.Job{}},
	{"backstay runs", []api.Run{}},
	{"backstay drills", []drill.Report{}},
	{"backstay retention", []app.Retained{}},
	{"backstay cluster status", []api.Cluster{}},
	{"backstay cluster init", api.ClusterCheck{}},
	{"backstay cluster token", api.JoinToken{}},
	{"backstay cluster voter list", []api.Voter{}},
	{"backstay cluster voter replace", api.VoterTurnover{}},
	{"backstay cluster voter recover", api.VoterRecovered{}},
	{"backstay switchover", api.ClusterOutcome{}},
	{"backstay engines", []app.EngineInfo{}},
	{"backstay demo", demoResult{}},
	{"backstay version", buildInfo{}},
}

// meanings are the docs of fields whose types belong to packages that do not know this page.
var meanings = map[reflect.Type]map[string]string{
	reflect.TypeFor[drill.Report](): {
		"format": "version of the report", "source": "what was drilled", "engine": "kind of the source", "repository": "where it was restored from",
		"tool": "version of backstay", "host": "that drilled", "asked": "latest, random, fingerprint, or a target", "target": "what that came to",
		"checkpoint": "the newest signed checkpoint of the repository", "began": "by the clock of the host", "ended": "by the clock of the host",
		"base": "that was laid", "segments": "of log that were replayed", "want": "the position at which the target lies",
		"reached": "where the engine stopped, by its own word", "sentinel": "the row that was written into the source each second, as it was recovered; absent if there is none", "clock": "whose clock stamped the time in reached", "local": "what of the log came from the spool of the host; absent for nothing", "verdict": "proved, backup-bad, check-failed, data-differs or environment-bad", "reason": "why, in one sentence",
		"lost": "with backup-bad: which part of the data", "damaged": "with backup-bad: the object, if it is one", "alternatives": "with backup-bad: what reaches the same target",
		"checks": "questions asked of the server", "compared": "with a fingerprint of the source; absent for a target of which there is none", "laid_bytes": "of the base, plain", "log_bytes": "of log replayed, plain", "fetch_bytes": "of objects, as stored",
		"fetch_seconds": "opening the base's index and waiting for log", "lay_seconds": "fetching, verifying and writing the base, making it durable",
		"replay_seconds": "replaying log, without waiting for it", "start_seconds": "starting the server", "verify_seconds": "asking it", "drill_seconds": "all of it",
	},
	reflect.TypeFor[engine.Second](): {"time": "that it says, by the clock of the source, or of the host that wrote it", "count": "of rows that were written"},
	reflect.TypeFor[drill.Compared](): {
		"taken": "when the fingerprint was taken, by the clock of the source", "tables": "that were compared", "rows": "in them",
		"left_out": "tables that could not be compared", "different": "what is not as it was, one line each", "why": "nothing could be compared",
	},
	reflect.TypeFor[app.Retained](): {
		"repository": "that was decided about", "source": "that it holds", "time": "for which it was decided", "drop": "what nothing keeps",
		"keep": "bases and reports that stay, with every rule that keeps them", "log": "stretches of log that stay", "summary": "all of it in one sentence",
		"move": "what is old enough for a colder repository; absent for nothing",
	},
	reflect.TypeFor[retention.Move](): {
		"to": "the colder repository", "copy": "what it must hold", "drop": "of that, what then leaves this one", "anchor": "the oldest base that stays here",
		"summary": "all of it in one sentence",
	},
	reflect.TypeFor[retention.Item]():    {"kind": "base, segment or report", "name": "in the repository", "time": "of a base its end, of a segment its end, of a report when it was made", "bytes": "as stored", "why": "every rule that keeps it, or the one reason for which it goes"},
	reflect.TypeFor[retention.Stretch](): {"from": "position", "to": "position", "since": "its first moment", "until": "its last", "segments": "in it", "bytes": "as stored", "base": "the oldest one that needs it"},
	reflect.TypeFor[drill.Checkpoint]():  {"number": "counts from 1", "size": "leaves in the log", "root": "of the Merkle tree, base64"},
	reflect.TypeFor[engine.Reached]():    {"position": "where the data stands", "time": "of the last commit in it", "digest": "over the whole data, from the log itself", "files": "what a person opens", "notes": "what a person should know before the data is used"},
	reflect.TypeFor[drill.Check](): {"name": "of the question", "ok": "whether the answer was good", "detail": "the answer", "seconds": "how long it took",
		"owner": "true where backstay.yaml asks, and not the engine", "unasked": "why it could not be asked, which says nothing about the backup",
		"want": "what a query must give; absent where any value but NULL, 0 and false will do", "got": "what a query gave, or how a command ended", "output": "the last lines that a command printed"},
	reflect.TypeFor[recovery.Object]():      {"repository": "it lies in", "name": "in the store", "base": "that it belongs to; none for log"},
	reflect.TypeFor[recovery.Local]():       {"segments": "of log", "commits": "at most", "bytes": "of log, plain", "to": "up to which position", "until": "up to which moment"},
	reflect.TypeFor[recovery.Alternative](): {"repository": "to read from", "base": "to begin with"},
}
