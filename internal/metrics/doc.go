// Package metrics turns what the daemon knows into Prometheus series, and serves them.
//
// It keeps one table of all series (All); their names, labels and units are a contract: they stay, and new ones may
// join them. Units stand at the end of the names, _seconds and _bytes; a _timestamp_seconds is a time of day as Unix
// time and is absent while there is none, so that "never" is never taken for 1970.
//
// There are two kinds of facts. What api.Status and the receivers of notices say is read anew for each scrape, so that a
// series lives exactly as long as its source. What happens (jobs, calls to stores) and what was decided (promises,
// when jobs are due) is told to Metrics by the daemon, and is forgotten with Forget when a source leaves the configuration.
//
// It promises that a scrape always answers: if the daemon does not say within two seconds how it is, backstay_up is 0,
// and what is counted is shown without the rest. It uses a registry of its own, never the default one, in which
// libraries register series of theirs. No series carries a URL, a path or the text of an error: all of them can hold
// secrets, and each new text would be a new series. It decides nothing and alerts nobody; monitor holds the rules.
package metrics
