package peer

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/route"
)

// Parts are what a host answers for. A function that is nil, or returns nil, stands for nothing of that name on this host. They are called for each
// question, so that a reload can change what is there.
type Parts struct {
	Host    func(name string) bool                 // a host of backstay.yaml: others are refused; nil refuses all
	Member  func(cluster, member string) Member    // of a keeper's Probe and Act
	Voucher func(cluster, member string) Voucher   // of the other members' agents
	Granter func(cluster string) Granter           // of proxies: the members of a cluster that this host runs speak as one
	Carrier func(cluster string) Carrier           // of keepers: this host's proxy of a cluster
	Log     func(cluster string) Log               // of members that lack log, and of keepers: the cluster is captured here
	Asked   func(host, question string, err error) // told of each question that failed, for the log; nil: nobody
}

// maxBody is the largest question or answer, bytes: a route with hundreds of replicas is far below it.
const maxBody = 1 << 20

// Answer to Vouch, and to Tell.
type (
	vouched struct {
		OK bool `json:"ok"`
	}
	told struct {
		Ack   route.Ack     `json:"ack"`
		Heard time.Duration `json:"heard"`
	}
	problem struct {
		Error string `json:"error"`
	}
)

// Handler serves parts below /peer/1/. It is to be served with Identity.Server.
func Handler(p Parts) http.Handler {
	m := http.NewServeMux()
	serve(m, p, "members/{cluster}/{member}/probe", func(r *http.Request, _ struct{}) (Report, error) {
		member, err := find(r, p.Member)
		if err != nil {
			return Report{}, err
		}
		report, err := member.Probe(r.Context())
		report.Answered, report.Fact.Heard, report.Fact.Vouched, report.Fact.Stalled, report.Fact.Short = 0, 0, 0, 0, 0
		return report, err
	})
	serve(m, p, "members/{cluster}/{member}/act", func(r *http.Request, a cluster.Action) (struct{}, error) {
		member, err := find(r, p.Member)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, member.Act(r.Context(), a)
	})
	serve(m, p, "members/{cluster}/{member}/vouch", func(r *http.Request, epoch uint64) (vouched, error) {
		voucher, err := find(r, p.Voucher)
		if err != nil {
			return vouched{}, err
		}
		ok, err := voucher.Vouch(r.Context(), epoch)
		return vouched{ok}, err
	})
	serve(m, p, "routes/{cluster}/grant", func(r *http.Request, ask route.Ask) (route.Route, error) {
		granter, err := findRoute(r, p.Granter)
		if err != nil {
			return route.Route{}, err
		}
		return granter.Grant(r.Context(), ask)
	})
	serve(m, p, "routes/{cluster}/tell", func(r *http.Request, to route.Route) (told, error) {
		carrier, err := findRoute(r, p.Carrier)
		if err != nil {
			return told{}, err
		}
		to.For = 0 // only the holder of the epoch gives time
		ack, heard, err := carrier.Tell(r.Context(), to)
		return told{ack, heard}, err
	})
	serveLog(m, p)
	return m
}

// find looks up a part by the names in the path. Interfaces are compared by their zero value: an adapter that has no such part returns nil.
func find[P comparable](r *http.Request, look func(cluster, member string) P) (P, error) {
	var none P
	if look != nil {
		if part := look(r.PathValue("cluster"), r.PathValue("member")); part != none {
			return part, nil
		}
	}
	return none, &refusal{ErrUnknown, fmt.Sprintf("no agent here for member %s of cluster %s", r.PathValue("member"), r.PathValue("cluster"))}
}

func findRoute[P comparable](r *http.Request, look func(cluster string) P) (P, error) {
	var none P
	if look != nil {
		if part := look(r.PathValue("cluster")); part != none {
			return part, nil
		}
	}
	return none, &refusal{ErrUnknown, "nothing here for routes of cluster " + r.PathValue("cluster")}
}

func serve[Q, A any](m *http.ServeMux, p Parts, path string, answer func(*http.Request, Q) (A, error)) {
	m.HandleFunc("POST /peer/1/"+path, func(w http.ResponseWriter, r *http.Request) {
		if !p.admits(w, r) {
			return
		}
		a, err := ask(r, answer)
		if err != nil {
			p.tell("", r, err)
			reply(w, statusOf(err), problem{err.Error()})
			return
		}
		reply(w, http.StatusOK, a)
	})
}

// admits refuses who is no host of the file.
func (p Parts) admits(w http.ResponseWriter, r *http.Request) bool {
	host, err := HostOf(r.TLS)
	if err == nil && (p.Host == nil || !p.Host(host)) {
		err = fmt.Errorf("host %s is not in this host's file", host)
	}
	if err != nil {
		p.tell(host, r, err)
		reply(w, http.StatusForbidden, problem{err.Error()})
	}
	return err == nil
}

func ask[Q, A any](r *http.Request, answer func(*http.Request, Q) (A, error)) (a A, err error) {
	var q Q
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = fmt.Errorf("it has more than %d bytes", maxBody)
	}
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil {
		return a, fmt.Errorf("read the question: %w", err)
	}
	return answer(r, q)
}

func (p Parts) tell(host string, r *http.Request, err error) {
	if host == "" {
		host, _ = HostOf(r.TLS) // it was admitted by that name
	}
	if p.Asked != nil {
		p.Asked(host, r.URL.Path, err)
	}
}

func reply(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer can't be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // who asked may be gone
}
