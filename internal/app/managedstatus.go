package app

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/cluster/keeper"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/route"
)

// managedStatus shows a cluster that Backstay manages, as this host's keeper sees it.
func (c *clustered) managedStatus() api.Cluster {
	m := c.managed
	s := m.keeper.Status()
	out := api.Cluster{Name: c.name, Kind: cmpKind(c.config.Kind()), Mode: string(c.config.Failover.Mode), Running: true, State: string(route.Closed), Phase: string(s.State.Phase),
		Epoch: s.State.Epoch, Reason: s.State.Reason, Paused: s.State.Paused, Primary: s.State.Holder(), Members: m.shown(s, c.host.Now()), Listeners: c.listeners()}
	if !s.View.Stored.IsZero() {
		out.Stored = s.View.Stored.Mark
	}
	if !s.Known {
		out.Reason = "the coordination has not answered yet"
	}
	if c.table != nil {
		out.State = string(c.table.View().Open())
	} else if out.Primary != "" && s.State.Phase == cluster.Serving {
		out.State = string(route.Serving)
	}
	if s.Leading {
		out.Keeper = m.house.name
		if s.Decision.Row != "serve" && s.Decision.Row != "" {
			out.Next = s.Decision.Row + ": " + s.Decision.Reason
		}
	}
	if r := s.State.Request; r != nil {
		out.Request = strings.TrimSpace(fmt.Sprintf("%s to %s, by %s", r.Kind, orBest(r.To), r.By))
	}
	if n := len(s.State.Quorums); n > 0 && s.State.Quorums[n-1].K > 0 {
		q := s.State.Quorums[n-1]
		out.Sync = fmt.Sprintf("%d of %s", q.K, strings.Join(q.Names, ", "))
		if n > 1 { // it may find that only the primary knows what it acknowledged
			out.Sync += api.Unsettled
		}
	}
	if s.Known {
		out.Hindrance = cluster.Hindrance(m.decided, s.State, s.View, s.Now)
	}
	if n := len(s.State.Quorums); n > 0 {
		out.Degraded = s.State.Quorums[n-1].K < m.decided.Sync
	}
	return out
}

func orBest(to string) string {
	if to == "" {
		return "the best"
	}
	return to
}

// roles are what status calls a server's role.
var roles = map[cluster.Role]string{cluster.Primary: "primary", cluster.Standby: "replica", cluster.Stopped: "stopped"}

// shown shows the members.
func (m *managed) shown(s keeper.Status, now time.Time) []api.ClusterMember {
	flushed := map[string]uint64{}
	end, known := uint64(0), false // what the primary tells
	for _, f := range s.View.Facts {
		if f.Name == s.State.Primary && f.Role == cluster.Primary && s.Now-f.Answered <= m.decided.After {
			end, known = f.Received.Seq, true
			for _, st := range f.Streams {
				flushed[st.Name] = st.Flushed.Seq
			}
		}
	}
	all := []api.ClusterMember{}
	for i, p := range m.decided.Peers {
		shown := api.ClusterMember{Name: p.Name, Address: p.Address, Host: m.config.Members[p.Name].Host, Role: "unknown", LagSeconds: -1, NoFailover: p.NoFailover}
		if i < len(s.View.Facts) && s.View.Facts[i].Answered != cluster.Never {
			f := s.View.Facts[i]
			shown.Answered, shown.Promised = now.Add(f.Answered-s.Now).UTC(), f.Promised
			shown.Timeline, shown.Position, shown.Following = f.Received.Timeline, f.Received.Mark, f.Following
			if role, ok := roles[f.Role]; ok && s.Now-f.Answered <= m.decided.After {
				if shown.Role = role; p.Receiver {
					shown.Role = "receiver"
				}
			}
			switch at, ok := flushed[p.Name]; {
			case ok && end > at:
				shown.LagBytes = end - at
			case ok:
				shown.LagSeconds = 0
			default:
				shown.NoStream = known && f.Role == cluster.Standby
			}
			shown.Full = f.Full
			switch {
			case f.Full: // a copy ends there too
				shown.Error = "its disk has hardly any room left"
			case f.Blank:
				shown.Error = "its log is not whole yet"
			case f.Stalled != cluster.Never:
				shown.Error = "its disk has taken no write for " + (s.Now - f.Stalled).Round(time.Millisecond).String()
			case f.Unguarded:
				shown.Error = "it counts as guarded, and no guard runs"
			}
		}
		all = append(all, shown)
	}
	return all
}

// hear takes what a keeper or an agent of a cluster tells. What is to be recorded is recorded before it returns.
func (d *daemon) hear(name string, e managedEvent) {
	switch {
	case e.record != nil:
		r := e.record
		entry := audit.Entry{What: audit.Failover, Source: name, Why: fmt.Sprintf("%s (epoch %d): %s", r.Row, r.Epoch, r.Reason), Outcome: audit.Began}
		if r.Action != "" {
			entry.Objects = []string{r.Action}
		}
		e.answer(d.record(context.Background(), entry))
	case e.aside != nil:
		d.keepAside(name, *e.aside)
	case e.agent != nil:
		if e.agent.Err != nil {
			d.host().Log.Warn(e.agent.Text, "cluster", name, "err", e.agent.Err)
		} else {
			d.host().Log.Info(e.agent.Text, "cluster", name)
		}
	case e.keeper != nil:
		d.hearKeeper(name, *e.keeper)
	}
}

func (d *daemon) hearKeeper(name string, e keeper.Event) {
	log := d.host().Log
	switch e.Kind {
	case keeper.Failed:
		log.Warn(e.Text, "cluster", name, "whom", e.Whom, "err", e.Err)
	case keeper.Changed:
		log.Info(e.Text, "cluster", name, "epoch", e.Epoch, "phase", e.Phase, "row", e.Row)
		d.tellChange(name, e)
	case keeper.Passed:
		log.Info("the cluster serves again", "cluster", name, "epoch", e.Epoch, "took", e.Text)
	case keeper.Acted, keeper.Leading:
		log.Info(e.Text, "cluster", name, "epoch", e.Epoch)
	default:
		log.Debug(e.Text, "cluster", name, "epoch", e.Epoch, "row", e.Row)
	}
}

// tellChange tells people of a primary that is being replaced, and of the one that came.
func (d *daemon) tellChange(name string, e keeper.Event) {
	if n := changeNotice(name, e); n.Reason != "" {
		d.tellOf(name, n)
	}
}

// tellOf tells people of something that happened to a cluster just now.
func (d *daemon) tellOf(name string, n notify.Notice) {
	if d.notifier == nil {
		return // it begins
	}
	n.Since = d.host().Now()
	if err := d.notifier.Tell(n); err != nil {
		d.host().Log.Error("what happened is told, and is not on disk", "cluster", name, "err", err)
	}
}

// changeNotice is what people are told of a change of the state; without a reason they are told nothing.
func changeNotice(name string, e keeper.Event) notify.Notice {
	severity, text, do := notify.Info, "", "backstay cluster status "+name+" shows the members"
	switch {
	case e.Phase == cluster.Fencing:
		severity, text = notify.Warning, "another primary is being made"
	case e.Row == "open" && e.Risk != "":
		severity, text = notify.Warning, "there is a primary, and something may be lost"
		do = "ask the application what it misses; log that only the old primary has is kept aside when it comes back, and told"
	case e.Row == "open":
		text = "there is a primary"
	default:
		return notify.Notice{}
	}
	return notify.Notice{Fingerprint: fmt.Sprintf("failover/%s/%d/%s", name, e.Epoch, e.Row), Objective: "failover", Severity: severity,
		Reason: fmt.Sprintf("cluster %s, epoch %d: %s: %s", name, e.Epoch, text, e.Text), Do: do}
}

// aside is log of a member that no other one has, and that was copied before its server takes it back.
type aside struct {
	member   string
	from, to history.Position // from is zero where it is not known since when it has parted
	dir      string
}

func (a aside) String() string {
	if a.from.Seq == 0 {
		return fmt.Sprintf("%s had log up to %s that may be on no other member: it is taken back, and the end of it kept in %s", a.member, a.to.Plain(), a.dir)
	}
	return fmt.Sprintf("%s had %d bytes of log that no other member has, from %s to %s: they are taken back, and kept in %s",
		a.member, a.to.Seq-a.from.Seq, a.from.Plain(), a.to.Plain(), a.dir)
}

// entry is what the audit log keeps of it.
func (a aside) entry(cluster string) audit.Entry {
	e := audit.Entry{What: audit.Failover, Source: cluster, Objects: []string{a.dir}, Why: a.String(), Outcome: audit.OK}
	if a.from.Seq > 0 {
		e.Bytes = int64(a.to.Seq - a.from.Seq)
	}
	return e
}

// notice is what people are told of it.
func (a aside) notice(cluster string) notify.Notice {
	return notify.Notice{Fingerprint: "aside/" + cluster + "/" + a.member + "/" + filepath.Base(a.dir), Objective: "failover", Severity: notify.Warning,
		Reason: "cluster " + cluster + ": " + a.String(), Do: "pg_waldump shows what is in it, as the README there says; delete it when nobody misses anything"}
}

// keepAside records and tells of log before it is taken back.
func (d *daemon) keepAside(name string, a aside) {
	d.host().Log.Warn(a.String(), "cluster", name)
	if err := d.record(context.Background(), a.entry(name)); err != nil {
		d.host().Log.Error("the audit log takes nothing", "err", err)
	}
	d.tellOf(name, a.notice(name))
}

// joined tells of a host that joined or renewed its certificate.
func (d *daemon) joined(host, what string, err error) {
	e := audit.Entry{What: audit.Key, Objects: []string{host}, Why: "host " + host + " " + what, Outcome: audit.OK}
	if err != nil {
		e.Outcome, e.Error = audit.Refused, err.Error()
		d.host().Log.Warn("a host was refused", "host", host, "err", err)
	} else {
		d.host().Log.Info(e.Why)
	}
	if err := d.record(context.Background(), e); err != nil {
		d.host().Log.Error("the audit log takes nothing", "err", err)
	}
}
