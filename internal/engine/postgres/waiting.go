package postgres

import (
	"fmt"
	"strings"

	"github.com/backstaydb/backstay/internal/engine"
)

// waiting is whether the server's commits wait for us.
type waiting int

const (
	notNamed   waiting = iota // synchronous_standby_names does not name us, or the server goes by it for nobody
	notAwaited                // it does, and synchronous_commit lets commits wait for nobody
	isNext                    // commits wait for others, as long as these are there
	oneOfMany                 // commits wait for some of several standbys
	untold                    // that depends on who else is there, and we may not see it
	isAwaited
)

// waiting decides it, by what the server says of our stream where the role may see that, else by the list alone.
func (f *serverFacts) waiting() waiting {
	list := parseStandbyNames(f.settings["synchronous_standby_names"])
	at, any := list.index(f.name)
	commit := f.settings["synchronous_commit"]
	switch {
	case at < 0 || f.standby || f.sync == "async":
		return notNamed
	case commit == "off" || commit == "local":
		return notAwaited
	case f.sync == "potential":
		return isNext
	case !any && list.number >= len(list.names):
		return isAwaited
	case list.quorum && !any:
		return oneOfMany
	case f.streams && f.others == 0:
		return isAwaited
	case f.sync != "" && any:
		return oneOfMany
	case f.sync != "" || f.streams && !any && at < list.number:
		return isAwaited
	}
	return untold
}

// waitingAdvice says what a loss of the server loses.
func (f *serverFacts) waitingAdvice() engine.Advice {
	const missing = "what was committed in the last moments before a loss of the server can be missing"
	names, name := f.settings["synchronous_standby_names"], quoteIdentifier(f.name)
	set := fmt.Sprintf("ALTER SYSTEM SET synchronous_standby_names = '%s'; SELECT pg_reload_conf();", strings.ReplaceAll(name, "'", "''"))
	first := fmt.Sprintf("to have each of them wait for it, put %s first, as in 'FIRST 1 (%s, …)', or raise the number until all are needed", name, name)
	switch f.waiting() {
	case notNamed:
		if commit := f.settings["synchronous_commit"]; commit == "off" || commit == "local" {
			set = "ALTER SYSTEM SET synchronous_commit = on; " + set
		}
		if names != "" {
			return engine.Advice{Severity: "info",
				Text: fmt.Sprintf("commits do not wait for Backstay, but for others (synchronous_standby_names is %s): %s where those are lost, too", names, missing),
				Do:   fmt.Sprintf("to have them wait for it as well, name %s beside the others; a cluster whose primary Backstay chooses takes it as a member: { receiver: true }", name)}
		}
		return engine.Advice{Severity: "info", Text: "commits do not wait for Backstay: " + missing, Do: "for no loss at all, as long as this host can be reached: " + set}
	case notAwaited:
		return engine.Advice{Severity: "warning",
			Text: fmt.Sprintf("synchronous_commit is %s: commits do not wait for Backstay, although synchronous_standby_names names it; %s", f.settings["synchronous_commit"], missing),
			Do:   "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf();"}
	case isNext:
		return engine.Advice{Severity: "info",
			Text: fmt.Sprintf("commits do not wait for Backstay, but for standbys before it in synchronous_standby_names (%s): %s", names, missing), Do: first}
	case oneOfMany:
		return engine.Advice{Severity: "info",
			Text: fmt.Sprintf("commits need not wait for Backstay, as another standby can confirm them in its place (synchronous_standby_names is %s): %s", names, missing), Do: first}
	case untold:
		return engine.Advice{Severity: "info", Text: fmt.Sprintf("whether commits wait for Backstay cannot be told: synchronous_standby_names is %s, and who else is there is not seen", names),
			Do: fmt.Sprintf("GRANT pg_read_all_stats TO %s;", quoteIdentifier(f.role))}
	}
	return f.place.advise(f.awaits)
}
