package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/route"
)

// patience bounds a call whose context has no deadline, and each dial.
const patience = 2 * time.Second

// Host is whom to ask, and where.
type Host struct {
	Name    string // in backstay.yaml: its certificate must say so
	Address string // host:port
}

// Caller asks other hosts. It keeps connections; one that did not answer in time is not used again. Its methods, and what they return, may be
// used by several goroutines.
type Caller struct {
	id   Identity
	mu   sync.Mutex
	kept map[string]*http.Client // by host and address
}

// NewCaller makes a Caller that speaks as id.
func NewCaller(id Identity) *Caller { return &Caller{id: id, kept: map[string]*http.Client{}} }

// Close ends its idle connections.
func (c *Caller) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.kept {
		k.CloseIdleConnections()
	}
}

// Member is a member's agent on a host.
func (c *Caller) Member(h Host, cluster, member string) interface {
	Member
	Voucher
} {
	return &remoteMember{c, h, "members/" + url.PathEscape(cluster) + "/" + url.PathEscape(member)}
}

// Granter is a host whose agent may hold a cluster's epoch.
func (c *Caller) Granter(h Host, cluster string) Granter {
	return &remoteRoutes{c, h, "routes/" + url.PathEscape(cluster)}
}

// Carrier is a host's proxy of a cluster.
func (c *Caller) Carrier(h Host, cluster string) Carrier {
	return &remoteRoutes{c, h, "routes/" + url.PathEscape(cluster)}
}

type remoteMember struct {
	caller *Caller
	host   Host
	path   string
}

func (m *remoteMember) Probe(ctx context.Context) (r Report, err error) {
	return r, m.caller.ask(ctx, m.host, m.path+"/probe", struct{}{}, &r)
}

func (m *remoteMember) Act(ctx context.Context, a cluster.Action) error {
	return m.caller.ask(ctx, m.host, m.path+"/act", a, &struct{}{})
}

func (m *remoteMember) Vouch(ctx context.Context, epoch uint64) (bool, error) {
	var v vouched
	err := m.caller.ask(ctx, m.host, m.path+"/vouch", epoch, &v)
	return v.OK && err == nil, err
}

type remoteRoutes struct {
	caller *Caller
	host   Host
	path   string
}

func (g *remoteRoutes) Grant(ctx context.Context, ask route.Ask) (r route.Route, err error) {
	return r, g.caller.ask(ctx, g.host, g.path+"/grant", ask, &r)
}

func (g *remoteRoutes) Tell(ctx context.Context, r route.Route) (route.Ack, time.Duration, error) {
	t := told{Heard: -1}
	err := g.caller.ask(ctx, g.host, g.path+"/tell", r, &t)
	return t.Ack, t.Heard, err
}

// client is the one for a host. HTTP/1.1: a question that waits holds up no other, and a connection on which an answer did not come in time is
// closed with it, where HTTP/2 would go on using a path that may be dead.
func (c *Caller) client(h Host) *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := h.Name + " " + h.Address
	if k := c.kept[key]; k != nil {
		return k
	}
	k := &http.Client{Transport: &http.Transport{
		DialTLSContext:      func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx, h) },
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}}
	c.kept[key] = k
	return k
}

func (c *Caller) dial(ctx context.Context, h Host) (net.Conn, error) {
	conf, err := c.id.Client(h.Name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", h.Address)
}

func (c *Caller) ask(ctx context.Context, h Host, path string, question, answer any) error {
	if err := c.try(ctx, h, path, question, answer); err != nil {
		return fmt.Errorf("ask %s: %w", h.Name, err)
	}
	return nil
}

func (c *Caller) try(ctx context.Context, h Host, path string, question, answer any) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	response, err := c.post(ctx, h, path, question)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return err
	}
	return read(response.StatusCode, text, answer)
}

// post sends a question. Whoever gets the response closes its body.
func (c *Caller) post(ctx context.Context, h Host, path string, question any) (*http.Response, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+h.Address+"/peer/1/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header["Idempotency-Key"] = nil // lets net/http replace a kept connection that turns out to be closed; an empty list is not sent
	response, err := c.client(h).Do(r)
	if err != nil {
		return nil, plain(err)
	}
	return response, nil
}

// plain takes method and address out of what net/http says: ask says whom.
func plain(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}

func read(status int, text []byte, answer any) error {
	if status == http.StatusOK {
		if err := json.Unmarshal(text, answer); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		return nil
	}
	var p problem
	if err := json.Unmarshal(text, &p); err != nil || p.Error == "" {
		p.Error = fmt.Sprintf("status %d: %.100s", status, strings.TrimSpace(string(text)))
	}
	return &refusal{classes[status], p.Error}
}
