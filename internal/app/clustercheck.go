package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
)

// addressOf is a member's host:port; "" where its URL is wrong, which is told elsewhere.
func addressOf(url string) string {
	l, err := lookerOf(url)
	if err != nil {
		return ""
	}
	return l.Address()
}

// decided is a cluster of the file as package cluster decides about it.
func (h *Host) decided(name string) cluster.Config { return h.Config.Decided(name, addressOf) }

// RefusedError says why a cluster can't be run as it is written.
type RefusedError struct {
	Cluster  string
	Refusals []cluster.Refusal
}

func (e *RefusedError) Error() string {
	var lines []string
	for _, r := range e.Refusals {
		if i := slices.IndexFunc(e.Refusals, func(s cluster.Refusal) bool { return s.Reason == r.Reason }); e.Refusals[i].Member != r.Member {
			continue // said with the first of them
		}
		var members []string
		for _, s := range e.Refusals {
			if s.Reason == r.Reason && s.Member != "" {
				members = append(members, s.Member)
			}
		}
		lines = append(lines, strings.TrimPrefix(strings.Join(members, ", ")+": "+r.Reason, ": "))
	}
	return "cluster " + e.Cluster + ": " + strings.Join(lines, "; ")
}

// Hint says what to do about the first of them.
func (e *RefusedError) Hint() string { return e.Refusals[0].Hint }

// CheckClusters says what in the file cannot be kept here, of clusters. It asks no member. Ports count as taken where nobody of this folder
// listens on them.
func (h *Host) CheckClusters(ctx context.Context) error {
	owners := map[string]string{}
	for _, name := range h.Config.ClusterNames() {
		own := h.Config.Clusters[name]
		for _, member := range own.Order {
			if own.Members[member].URL == "" {
				continue
			}
			l, err := lookerOf(own.Members[member].URL)
			if err != nil {
				return &ClusterError{Cluster: name, Member: member, Err: err}
			}
			if other, ok := owners[l.Address()]; ok {
				return &ClusterError{Cluster: name, Member: member, Err: fmt.Errorf("%s is the server of %s too: a server belongs to one cluster, once", l.Address(), other)}
			}
			owners[l.Address()] = fmt.Sprintf("member %s of cluster %s", member, name)
		}
		if files := own.Listen.TLS; files != nil {
			if _, err := certificate(h.Config.Dir(), files); err != nil {
				return &ClusterError{Cluster: name, Err: err}
			}
		}
		ask := cluster.Ask{Config: h.decided(name), Voters: h.voters()}
		ask.Taken, ask.Foreign = h.closedPorts(ctx, own.Listen)
		if err := refused(name, own, ask); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) voters() []string {
	if co := h.Config.Coordination; co != nil && co.Embedded != nil {
		return co.Embedded.Peers
	}
	return nil
}

// refused asks package cluster; of a cluster that somebody else manages only what concerns the listeners counts.
func refused(name string, own config.Cluster, ask cluster.Ask) error {
	if !own.Managed() {
		ask.Config.Manual, ask.Config.Sync, ask.Config.Unfenced = true, 0, true
	}
	if all := cluster.Refusals(ask); len(all) > 0 {
		return &RefusedError{Cluster: name, Refusals: all}
	}
	return nil
}

// letsGo is how long a port may stay taken by a daemon that was told to end.
const letsGo = 2 * time.Second

// closedPorts are those of a cluster's addresses that this host is to listen on and can't: taken by somebody else, or none of its own. While the daemon
// of this folder runs they are its.
func (h *Host) closedPorts(ctx context.Context, l config.Listen) (taken, foreign []string) {
	if _, err := api.Dial(h.State()).Status(ctx); err == nil || !l.Listens(HostName("")) {
		return nil, nil
	}
	late := time.Now().Add(letsGo)
	for _, at := range []string{l.RW, l.RO, l.Health} {
		if at == "" {
			continue
		}
		err := tryPort(at)
		for errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(late) && backoff.Sleep(ctx, 100*time.Millisecond) == nil {
			err = tryPort(at)
		}
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			taken = append(taken, at)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			foreign = append(foreign, at)
		}
	}
	return taken, foreign
}

func tryPort(at string) error {
	s, err := net.Listen("tcp", at)
	if err == nil {
		_ = s.Close() // nobody was served through it
	}
	return err
}

// HostName is what a host is called in the file: as it says, or as the system does.
func HostName(said string) string {
	if said != "" {
		return said
	}
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	short, _, _ := strings.Cut(name, ".")
	return short
}

// InspectCluster asks every member what it is and what it lacks. It changes nothing.
func (h *Host) InspectCluster(ctx context.Context, name string) (api.ClusterCheck, error) {
	own := h.Config.Clusters[name]
	order := slices.DeleteFunc(slices.Clone(own.Order), func(member string) bool { return own.Members[member].Receiver })
	out := api.ClusterCheck{Cluster: name, Members: make([]api.ClusterInspection, len(order)), Refused: []api.ClusterRefusal{}}
	found := make([]engine.Inspection, len(order))
	ctx, cancel := context.WithTimeout(ctx, 3*lookFor)
	defer cancel()
	var all sync.WaitGroup
	for i, member := range order {
		all.Go(func() { out.Members[i], found[i] = h.inspect(ctx, own, member) })
	}
	all.Wait()
	ask := cluster.Ask{Config: h.decided(name), Voters: h.voters()}
	ask.Taken, ask.Foreign = h.closedPorts(ctx, own.Listen)
	for i, m := range out.Members {
		if m.Away {
			continue
		}
		r := cluster.Report{Name: m.Name, Reached: m.Error == "", SystemID: m.SystemID, Major: m.Major, Primary: m.Primary, Timeline: found[i].Timeline,
			Agent: own.Members[m.Name].Host != "", Checksums: found[i].Checksums}
		if !own.Managed() {
			r.Agent = false
		} else {
			r.Owner = otherOwner(name, found[i].Owners)
		}
		ask.Members = append(ask.Members, r)
		collect(&out, found[i])
	}
	var wrong *RefusedError
	if errors.As(refused(name, own, ask), &wrong) {
		for _, r := range wrong.Refusals {
			if r.Member != "" && slices.ContainsFunc(out.Members, func(m api.ClusterInspection) bool { return m.Name == r.Member && m.Error != "" }) {
				continue // its own error says more
			}
			out.Refused = append(out.Refused, api.ClusterRefusal(r))
		}
	}
	return out, nil
}

// otherOwner is a cluster other than name among those that have a server.
func otherOwner(name string, owners []string) string {
	for _, owner := range owners {
		if owner != fmt.Sprintf("%.30s", name) {
			return owner
		}
	}
	return ""
}

// inspect asks one member.
func (h *Host) inspect(ctx context.Context, own config.Cluster, member string) (api.ClusterInspection, engine.Inspection) {
	m := own.Members[member]
	out := api.ClusterInspection{Name: member, Address: addressOf(m.URL)}
	l, err := lookerOf(m.URL)
	var found engine.Inspection
	if err == nil {
		defer l.Close()
		if i, ok := l.(engine.Inspector); ok {
			found, err = i.Inspect(ctx, engine.Needs{Members: len(own.Order), Manages: own.Managed(), Agent: m.Host != ""})
		} else {
			var s engine.Sight
			s, err = l.Look(ctx)
			found = engine.Inspection{SystemID: s.SystemID, Primary: s.Role == engine.RolePrimary}
		}
	}
	if err != nil {
		var away *net.OpError
		out.Error, out.Hint = err.Error(), hintOf(err)
		out.Away = errors.As(err, &away) && m.Host != "" && own.Managed()
		return out, found
	}
	out.SystemID, out.Major, out.Primary, out.Missing = found.SystemID, found.Major, found.Primary, append([]string{}, found.Missing...)
	return out, found
}

// collect gathers what is missing, once: what a primary is given its replicas have too.
func collect(out *api.ClusterCheck, found engine.Inspection) {
	for _, sql := range found.Missing {
		if !slices.Contains(out.SQL, sql) {
			out.SQL = append(out.SQL, sql)
		}
	}
	for _, sql := range found.Wishes {
		if !slices.Contains(out.Wishes, sql) {
			out.Wishes = append(out.Wishes, sql)
		}
	}
	out.Restart = out.Restart || found.Restart
}
