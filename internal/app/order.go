package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/cluster/keeper"
	"github.com/backstaydb/backstay/internal/lease"
)

// orderWithin is how long a daemon waits for what a person asked for.
const orderWithin = 90 * time.Second

// Order has the daemon of this folder do something with a cluster; api.ErrNotRunning if none runs.
func (h *Host) Order(ctx context.Context, name string, o api.ClusterOrder) (api.ClusterOutcome, error) {
	return api.Dial(h.State()).Order(ctx, name, o)
}

// Order implements api.Controller.
func (d *daemon) Order(ctx context.Context, name string, o api.ClusterOrder) (out api.ClusterOutcome, err error) {
	var p *clustered
	if part := d.clusters.find(name); part != nil {
		p = part.built.Load()
	}
	switch {
	case p == nil:
		return out, &hostError{fmt.Errorf("the daemon knows no cluster %q", name), "after a change of backstay.yaml have it read anew: systemctl reload, or SIGHUP"}
	case p.managed == nil:
		return out, &hostError{fmt.Errorf("cluster %s is managed by somebody else", name), "ask who manages it, or change failover in backstay.yaml"}
	}
	ctx, cancel := context.WithTimeout(ctx, orderWithin)
	defer cancel()
	began := time.Now()
	if o.DryRun {
		out, err = p.managed.suppose(ctx, o)
	} else {
		e := audit.Entry{What: audit.Failover, Source: name, Objects: []string{o.Verb, o.To}, Why: orderText(o), Outcome: audit.Began}
		if err := d.record(ctx, e); err != nil {
			d.host().Log.Error("the audit log takes nothing", "err", err) // a person who needs another primary gets one
		}
		out, err = p.managed.order(ctx, o)
		if e.Outcome = outcomeOf(err); err != nil {
			e.Error = err.Error()
		}
		if err := d.record(context.WithoutCancel(ctx), e); err != nil {
			d.host().Log.Error("the audit log takes nothing", "err", err)
		}
	}
	out.Cluster, out.Seconds = name, time.Since(began).Seconds()
	return out, err
}

// outcomeOf says whether an order that ended with err touched anything.
func outcomeOf(err error) audit.Outcome {
	var other *otherPrimaryError
	switch {
	case err == nil:
		return audit.OK
	case errors.As(err, &other):
		return audit.Failed
	default:
		return audit.Refused
	}
}

// orderText is an order in one line.
func orderText(o api.ClusterOrder) string {
	text := o.Verb
	if o.To != "" {
		text += " to " + o.To
	}
	text += ", asked for by " + o.By
	if o.Lose {
		text += ", though acknowledged writes may be lost"
	}
	if o.Why != "" {
		text += ": " + o.Why
	}
	return text
}

// order carries one out.
func (m *managed) order(ctx context.Context, o api.ClusterOrder) (api.ClusterOutcome, error) {
	store, key := &m.house.coordination.store, stateKey(m.name)
	switch o.Verb {
	case "switchover", "failover":
		return m.moved(ctx, request(o))
	case "pause", "resume":
		if err := keeper.Pause(ctx, store, key, o.Verb == "pause"); err != nil {
			return api.ClusterOutcome{}, err
		}
		text := "failover happens by itself again"
		if o.Verb == "pause" {
			text = "no failover happens by itself until it is resumed; switchover and failover can be asked for"
		}
		return api.ClusterOutcome{Done: true, Text: text}, nil
	case "rejoin":
		return m.rejoin(ctx, o.To)
	case "reinstate":
		return m.reinstate(ctx, o)
	}
	return api.ClusterOutcome{}, fmt.Errorf("order %q is not known", o.Verb)
}

func request(o api.ClusterOrder) cluster.Request {
	return cluster.Request{Kind: cluster.Kind(o.Verb), To: o.To, By: o.By, Why: o.Why, Lose: o.Lose}
}

// moved asks for another primary, and waits until there is one.
func (m *managed) moved(ctx context.Context, r cluster.Request) (api.ClusterOutcome, error) {
	if r.To != "" && m.config.Members[r.To].URL == "" {
		return api.ClusterOutcome{}, &hostError{fmt.Errorf("%q is no member that can be primary", r.To), "members: " + list(m.config.Order)}
	}
	store, key := &m.house.coordination.store, stateKey(m.name)
	asked, err := keeper.Ask(ctx, store, key, r)
	var busy *cluster.BusyError
	if errors.As(err, &busy) && busy.Release {
		return api.ClusterOutcome{}, &hostError{err, "wait, or bring back who is missing; if that can't be, backstay failover " + m.name + " --lose goes on with who answers, and may lose what was acknowledged"}
	}
	if err != nil {
		return api.ClusterOutcome{}, err
	}
	s, err := keeper.Outcome(ctx, store, key, asked, nil)
	var refused *keeper.RefusedError
	if errors.As(err, &refused) {
		hint := "nothing was changed; backstay cluster status " + m.name + " shows the members"
		if r.Kind == cluster.Failover && !r.Lose {
			hint += ", and --lose goes on with who answers"
		}
		return api.ClusterOutcome{}, &hostError{refused, hint}
	}
	if err != nil {
		return api.ClusterOutcome{}, err
	}
	return m.came(r, s)
}

// came is what a request came to that led to s.
func (m *managed) came(r cluster.Request, s cluster.State) (api.ClusterOutcome, error) {
	out := api.ClusterOutcome{Done: true, Text: s.Reason, Primary: s.Primary, Epoch: s.Epoch}
	if r.To != "" && s.Primary != r.To {
		return out, &otherPrimaryError{m.name, r.To, s}
	}
	return out, nil
}

// otherPrimaryError is what became of a request where the member that it names could not be primary in the end.
type otherPrimaryError struct {
	cluster, wanted string
	state           cluster.State
}

func (e *otherPrimaryError) Error() string {
	return fmt.Sprintf("%s became primary at epoch %d, not %s: %s", e.state.Primary, e.state.Epoch, e.wanted, e.state.Reason)
}

// Hint says how the wanted one becomes primary.
func (e *otherPrimaryError) Hint() string {
	return fmt.Sprintf("the audit log says why; when %s follows, backstay switchover %s --to %s moves the place there", e.wanted, e.cluster, e.wanted)
}

// suppose says what would be done if somebody asked for something now.
func (m *managed) suppose(ctx context.Context, o api.ClusterOrder) (api.ClusterOutcome, error) {
	if o.Verb != "switchover" && o.Verb != "failover" {
		return api.ClusterOutcome{Text: "would " + o.Verb}, nil
	}
	f, err := m.keeper.Suppose(ctx, request(o))
	if err != nil {
		return api.ClusterOutcome{}, err
	}
	s := m.keeper.Status().State
	return api.ClusterOutcome{Text: f.Row + ": " + f.Reason, Primary: s.Primary, Epoch: s.Epoch, Actions: f.Steps, Then: outlook(f)}, nil
}

// outlook says where a forecast ends; it is empty where nothing begins.
func outlook(f cluster.Forecast) string {
	switch {
	case f.Primary != "":
		return f.Primary + " is primary; " + f.End
	case f.End != f.Reason:
		return "there is no other primary: " + f.End
	default:
		return ""
	}
}

// reinstate raises the epoch above all that members know, where the coordination was made anew or comes out of an old copy.
func (m *managed) reinstate(ctx context.Context, o api.ClusterOrder) (api.ClusterOutcome, error) {
	if err := m.house.coordination.store.NextGeneration(ctx, m.host.Now()); err != nil {
		return api.ClusterOutcome{}, err
	}
	s, absent, err := m.reinstateIn(ctx, &m.house.coordination.store, o.By, cmp.Or(o.Why, "the coordination was lost"), o.Lose)
	if err != nil {
		return api.ClusterOutcome{}, err
	}
	out := api.ClusterOutcome{Done: true, Text: fmt.Sprintf("epoch %d counts, and who has most of the log is primary", s.Epoch), Epoch: s.Epoch}
	if s.Epoch == 0 {
		out.Text = "no member was ever primary here: there is nothing to reinstate"
	}
	if len(absent) > 0 {
		out.Text += "; " + list(absent) + " did not answer"
	}
	return out, nil
}

// reinstateIn does that to the state that a store has. absent are the members that did not answer.
func (m *managed) reinstateIn(ctx context.Context, store lease.Store, by, why string, lose bool) (s cluster.State, absent []string, err error) {
	s, absent, err = keeper.Reinstate(ctx, keeper.Config{Cluster: m.decided, Store: store, Key: stateKey(m.name), Members: m.members}, by, why, lose)
	if err != nil {
		return s, absent, &hostError{err, "start what does not answer; or --lose, if what only those know may be lost"}
	}
	return s, absent, nil
}

// rejoin has a member follow the primary, rewound or cloned where that is needed.
func (m *managed) rejoin(ctx context.Context, name string) (api.ClusterOutcome, error) {
	s, _, err := keeper.Read(ctx, &m.house.coordination.store, stateKey(m.name))
	if err != nil {
		return api.ClusterOutcome{}, err
	}
	member := m.members[name]
	switch {
	case member == nil:
		return api.ClusterOutcome{}, &hostError{fmt.Errorf("no server of cluster %s is called %q", m.name, name), "members: " + list(m.config.Order)}
	case s.Phase != cluster.Serving:
		return api.ClusterOutcome{}, fmt.Errorf("the cluster is %s: %s", s.Phase, s.Reason)
	case s.Primary == name:
		return api.ClusterOutcome{}, &hostError{fmt.Errorf("%s is the primary", name), "backstay switchover " + m.name + " first"}
	case m.config.Members[name].Host == "":
		return api.ClusterOutcome{}, &hostError{fmt.Errorf("%s has no agent that could bring it back", name), "add host: and data: to it in backstay.yaml, or clone it by hand"}
	}
	if err := member.Act(ctx, cluster.Action{Verb: cluster.Follow, Epoch: s.Epoch, Member: name, From: s.Primary}); err != nil {
		return api.ClusterOutcome{}, err
	}
	for {
		r, err := member.Probe(ctx)
		if err == nil && r.Role == cluster.Standby && r.Following == s.Primary && !r.Blank && r.Ages.Heard >= 0 && r.Ages.Heard < 2*time.Second {
			return api.ClusterOutcome{Done: true, Text: name + " follows " + s.Primary, Primary: s.Primary, Epoch: s.Epoch}, nil
		}
		select {
		case <-ctx.Done():
			return api.ClusterOutcome{Text: name + " was told to follow " + s.Primary + " and is not back yet; its agent goes on with that, backstay cluster watch shows how it does"}, nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}
