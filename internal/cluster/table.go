package cluster

// Row is one transition: the first row of a phase whose conditions all hold is taken.
type Row struct {
	Name   string
	In     Phase
	If     []condition
	To     Phase
	Change func(*look, *State)  // what the new state differs in, beside Phase; nil: the state stays as it is
	Act    func(*look) []Action // what is done while the state stays
	Why    func(*look) string
}

func when(c ...condition) []condition { return c }

func says(text string) func(*look) string { return func(*look) string { return text } }

var table = []Row{
	{"adopt", Forming, when(onePrimary), Promoting, adopt, nil, func(l *look) string { return l.onlyPrimary().Name + " is the only primary" }},
	{"wait for members", Forming, nil, Forming, nil, nil, says("not every member answers, or not exactly one is primary")},

	{"take over", Serving, when(lost, takeable, automatic), Fencing, claim, nil, (*look).lost},
	{"endure", Serving, when(lost, automatic, not(asked)), Serving, nil, nil, func(l *look) string { return l.lost() + "; " + l.hindrance() }},
	{"take over on request", Serving, when(askedFail, takeable, namedFit), Fencing, claim, nil, func(l *look) string { return "failover asked for by " + l.state.Request.By }},
	{"leave to people", Serving, when(lost, not(asked)), Serving, nil, nil, func(l *look) string { return l.lost() + "; automatic failover is off" }},
	{"look for another", Serving, when(askedFail, not(lookedAt)), Serving, nil, upkeep, func(l *look) string { return "not as seen before: " + l.refusal() }},
	{"refuse failover", Serving, when(askedFail), Serving, withdraw, nil, func(l *look) string { return "failover refused: " + l.refusal() }},
	{"prepare", Serving, when(asked, targetReady, not(readied)), Serving, nil, prepare, func(l *look) string {
		return "sessions log in at " + l.state.Request.To + " ahead, and " + l.state.Primary + " writes a checkpoint"
	}},
	{"drain", Serving, when(asked, targetReady), Draining, keep, nil, func(l *look) string {
		return "switchover to " + l.state.Request.To + " asked for by " + l.state.Request.By
	}},
	{"look again", Serving, when(asked, not(lookedAt)), Serving, nil, upkeep, func(l *look) string { return "not as seen before: " + l.unready() }},
	{"refuse switchover", Serving, when(asked), Serving, withdraw, nil, func(l *look) string { return "switchover refused: " + l.unready() }},
	{"drop old quorum", Serving, when(settled), Serving, dropQuorums, nil, says("the new quorum has all that the old one acknowledged")},
	{"change quorum", Serving, when(quorumDiffer), Serving, addQuorum, nil, says("another set of members must have a commit from now on")},
	{"serve", Serving, nil, Serving, nil, upkeep, func(l *look) string { return l.state.Primary + " serves" }},

	{"take over while draining", Draining, when(lost, takeable, automatic), Fencing, claimUnplanned, nil, (*look).lost},
	{"call off", Draining, when(lost), Serving, withdraw, nil, func(l *look) string { return "switchover called off: " + l.lost() }},
	{"call off, late", Draining, when(overdue), Serving, withdraw, nil, func(l *look) string { return "switchover called off: not drained within " + short(l.cfg.DrainFor) }},
	{"call off, unready", Draining, when(not(targetReady)), Serving, withdraw, nil, func(l *look) string { return "switchover called off: " + l.unready() }},
	{"hand over", Draining, when(drained, caughtUp), Fencing, claim, nil, func(l *look) string { return "drained; " + l.state.Request.To + " has everything" }},
	{"wait for drain", Draining, nil, Draining, nil, holdRoutes, says("transactions run to their end")},

	{"wait for routes", Fencing, when(not(routesShut)), Fencing, nil, fenceAll, (*look).openRoutes},
	{"wait for cut", Fencing, when(not(cutOff)), Fencing, nil, fenceAll, (*look).uncut},
	{"wait for accounts", Fencing, when(not(accounted)), Fencing, nil, fenceAll, (*look).unaccounted},
	{"wait for favourite", Fencing, when(not(chosenCame)), Fencing, nil, fenceAll, func(l *look) string { return l.awaited() + " answers and has not promised yet" }},
	{"wait for candidate", Fencing, when(not(candidate)), Fencing, nil, fenceAll, says("no member that promised is fit to be primary")},
	{"fill candidate", Fencing, when(not(complete)), Fencing, nil, fillUp, func(l *look) string { return l.shortfall().String() }},
	{"promote", Fencing, nil, Promoting, appoint, nil, func(l *look) string { return l.appointment() }},

	{"open", Promoting, when(isUp), Serving, open, nil, (*look).opened},
	{"try again", Promoting, when(failing), Fencing, claimUnplanned, nil, (*look).failing},
	{"wait for primary", Promoting, nil, Promoting, nil, promote, func(l *look) string { return l.state.Primary + " is being promoted" }},
}
