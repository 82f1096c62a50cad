package sim

// Bugs are the fences that can be left out, one at a time, and what that means. The test of the simulation is that each is missed.
var Bugs = map[string]string{
	"compare":         "a claim is written without comparing",
	"routes":          "promotion does not wait for the proxies",
	"tenure":          "a keeper waits for less than the holder's tenure",
	"vouch":           "members vouch for an epoch though they promised a newer one",
	"vouched":         "a keeper does not ask when a member vouched last",
	"life":            "a proxy's word is taken for that of its next life",
	"unrecorded":      "a holder grants to proxies that the state does not know",
	"answer":          "a proxy does not look at its lease before it hands on an answer",
	"from the answer": "a lease counts from when the answer came",
	"attached":        "fenced standbys go on acknowledging for the old primary",
	"oath":            "promises are forgotten at a restart",
	"lost oath":       "a member without a disk promises before it has read the state",
	"witnesses":       "one promise too few is enough",
	"blank":           "a member whose log is not whole counts",
	"start":           "a candidate is promoted with less than it was appointed for",
	"settled":         "an old quorum is dropped before the new one has what it acknowledged",
	"joint":           "only the newest of two quorums is asked",
	"stale count":     "a late command brings an old quorum back",
	"untenured":       "a server is promoted without holding the epoch's tenure",
	"deadline":        "the server is not stopped when the tenure ends (asynchronous)",
}
