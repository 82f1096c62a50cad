// Package watch keeps watch over the promises that were made for the sources of a daemon. It has done what is due (package
// schedule), judges what is kept (package policy), tells people what changed (package notify), writes down what was done (package
// audit), and shows all of it (packages api and metrics).
//
//	promises ──▶ jobs ──▶ Runner ──▶ Hands: base, drill, check, forget ──▶ run, audit entry
//	status, windows, drills, checks ──▶ facts ──▶ Judge ──▶ findings ──▶ notices, metrics, status
//
// It decides nothing itself: what is due, what is kept and what may be forgotten are answers of pure packages, and what `plan`,
// `status` and `retention --dry-run` print are the same answers. What it acts with is given to it as Hands, what it sees as Eyes.
//
// A job that is done twice changes nothing: a base is a base more, a drill and a check change nothing, and what was forgotten is not
// there a second time.
package watch
