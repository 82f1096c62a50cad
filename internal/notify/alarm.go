package notify

import (
	"fmt"
	"time"
)

// own is the scope of what the notifier itself reports.
const own = "notify"

// alarms returns what is wrong with telling: receivers that take nothing, and a disk that keeps nothing. It is told
// through the receivers that work. A receiver that was dead before the start
// is so until it takes a message.
func (n *Notifier) alarms(now time.Time) []Matter {
	var out []Matter
	for _, l := range n.pipeline.lanes {
		q := n.queues[l.receiver]
		name := "notices/" + q.name
		if !q.dead(now) {
			m := n.state.Matters[name]
			if m != nil && m.Gone.IsZero() && (!q.known || !q.failing.IsZero()) {
				out = append(out, Matter{Notice: m.Notice, About: q.name})
			}
			continue
		}
		out = append(out, Matter{About: q.name, Notice: Notice{
			Fingerprint: name, Objective: "notices", Severity: Critical, Since: q.failing,
			Reason: fmt.Sprintf("receiver %s takes no messages: %s; %d wait for it, each for %s at most", q.name, q.lastErr, len(q.entries), about(keep)),
			Do:     fmt.Sprintf("check the address and the key of receiver %s, and whether this host reaches it", q.name),
		}.tidied(n.pipeline.host, now)})
	}
	if n.diskErr != nil {
		out = append(out, Matter{Notice: Notice{
			Fingerprint: "notices/disk", Objective: "notices", Severity: Warning, Since: n.diskSince,
			Reason: fmt.Sprintf("notices cannot be written to disk, and are kept in memory only: %v", n.diskErr),
			Do:     "make room on the disk of the daemon's folder, or mend its permissions",
		}.tidied(n.pipeline.host, now)})
	}
	return out
}
