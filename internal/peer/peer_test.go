package peer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/route"
)

// authority signs certificates of hosts.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = a.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) sign(t *testing.T, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

func (a *authority) host(t *testing.T, name string) Identity {
	t.Helper()
	cert, key := a.sign(t, &x509.Certificate{DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}})
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return Identity{
		Certificate: func() (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
		},
		Authorities: func() (*x509.CertPool, error) { return pool, nil },
	}
}

// somebody is every part at once, and remembers what it was asked.
type somebody struct {
	acted cluster.Action
	told  route.Route
	err   error

	log  []byte
	from history.Position
	size uint64
}

func (s *somebody) Stored(context.Context, uint32) (history.Position, error) {
	return fact.Received, s.err
}

func (s *somebody) Lend(_ context.Context, from history.Position, size uint64, to io.Writer) error {
	s.from, s.size = from, size
	if len(s.log) > 0 {
		if _, err := to.Write(s.log); err != nil {
			return err
		}
	}
	return s.err
}

var fact = cluster.Fact{
	Name: "db1", Answered: 5 * time.Hour, Heard: 5 * time.Hour, Role: cluster.Primary, Epoch: 7, Promised: 7, Received: history.Position{Timeline: 3, Seq: 99, Mark: "0/63"},
	Counting: cluster.Quorum{Step: 4, Epoch: 7, Primary: "db1", Names: []string{"db2", "db3"}, K: 1}, Streams: []cluster.Stream{{Name: "db2", Flushed: history.At(3, 98)}},
}

func (s *somebody) Probe(context.Context) (Report, error) {
	return Report{Fact: fact, Ages: Ages{Heard: time.Second, Vouched: 2 * time.Second, Stalled: -1, Short: -1}}, s.err
}
func (s *somebody) Act(_ context.Context, a cluster.Action) error {
	s.acted = a
	return s.err
}
func (s *somebody) Vouch(_ context.Context, epoch uint64) (bool, error) { return epoch == 7, s.err }
func (s *somebody) Grant(_ context.Context, ask route.Ask) (route.Route, error) {
	return route.Route{Cluster: ask.Cluster, Epoch: 7, For: time.Second}, s.err
}
func (s *somebody) Tell(_ context.Context, r route.Route) (route.Ack, time.Duration, error) {
	s.told = r
	return route.Ack{Epoch: r.Epoch, Closed: true}, -1, s.err
}

// world serves somebody as host ha1 and returns a Caller of host ha2.
func world(t *testing.T, s *somebody, a *authority, as string) (*Caller, Host) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	parts := Parts{
		Host: func(name string) bool { return name == "ha1" || name == "ha2" },
		Member: func(cluster, member string) Member {
			if cluster != "shop" || member != "db1" {
				return nil
			}
			return s
		},
		Voucher: func(string, string) Voucher { return s },
		Granter: func(string) Granter { return s },
		Carrier: func(string) Carrier { return s },
		Log: func(cluster string) Log {
			if cluster != "shop" {
				return nil
			}
			return s
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, a.host(t, "ha1"), parts) }()
	c := NewCaller(a.host(t, as))
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c, Host{"ha1", l.Addr().String()}
}

func TestQuestionsCrossTheNetwork(t *testing.T) {
	s, a := &somebody{}, newAuthority(t)
	c, h := world(t, s, a, "ha2")
	m := c.Member(h, "shop", "db1")
	r, err := m.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := r.Seen(10*time.Second, 11*time.Second)
	want := fact
	want.Answered, want.Heard, want.Vouched, want.Stalled, want.Short = 10*time.Second, 9*time.Second, 9*time.Second, cluster.Never, cluster.Never
	if got, want := text(t, seen), text(t, want); got != want {
		t.Errorf("probe\n%s, want\n%s", got, want)
	}
	act := cluster.Action{Verb: cluster.Promote, Epoch: 8, Member: "db1", Upto: history.At(3, 99), Timeline: 4, Quorum: fact.Counting}
	if err := m.Act(t.Context(), act); err != nil || text(t, s.acted) != text(t, act) {
		t.Errorf("act: %v, %+v", err, s.acted)
	}
	for epoch, want := range map[uint64]bool{6: false, 7: true} {
		if ok, err := m.Vouch(t.Context(), epoch); err != nil || ok != want {
			t.Errorf("vouch %d: %v, %v", epoch, ok, err)
		}
	}
	if r, err := c.Granter(h, "shop").Grant(t.Context(), route.Ask{Cluster: "shop"}); err != nil || r.Epoch != 7 || r.For != time.Second || r.Cluster != "shop" {
		t.Errorf("grant: %+v, %v", r, err)
	}
	ack, heard, err := c.Carrier(h, "shop").Tell(t.Context(), route.Route{Epoch: 9, For: time.Hour})
	if err != nil || !ack.Closed || ack.Epoch != 9 || heard != -1 || s.told.For != 0 {
		t.Errorf("tell: %+v, %v, %v; told %+v", ack, heard, err, s.told)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLogCrossesTheNetwork(t *testing.T) {
	s, a := &somebody{log: bytes.Repeat([]byte("log"), 1<<20)}, newAuthority(t)
	c, h := world(t, s, a, "ha2")
	l := c.Log(h, "shop")
	if at, err := l.Stored(t.Context(), 3); err != nil || text(t, at) != text(t, fact.Received) {
		t.Errorf("stored: %+v, %v", at, err)
	}
	var got bytes.Buffer
	if err := l.Lend(t.Context(), history.At(3, 70), 1<<24, &got); err != nil || !bytes.Equal(got.Bytes(), s.log) || s.from != history.At(3, 70) || s.size != 1<<24 {
		t.Errorf("lend: %v, %d bytes from %+v of %d", err, got.Len(), s.from, s.size)
	}
	s.err = Refuse("the log behind 0/46 is not here")
	if err := l.Lend(t.Context(), history.At(3, 70), 1<<24, &got); err == nil {
		t.Error("what broke off in the middle was taken for all")
	}
	s.log = nil
	if err := l.Lend(t.Context(), history.At(3, 70), 1<<24, &got); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "is not here") {
		t.Errorf("refused: %v", err)
	}
	if err := c.Log(h, "crm").Lend(t.Context(), history.At(3, 70), 1<<24, &got); !errors.Is(err, ErrUnknown) {
		t.Errorf("another cluster: %v", err)
	}
}

func TestErrorsKeepTheirClassAndWords(t *testing.T) {
	s, a := &somebody{err: Refuse("epoch 6 is refused: 7 was promised")}, newAuthority(t)
	c, h := world(t, s, a, "ha2")
	err := c.Member(h, "shop", "db1").Act(t.Context(), cluster.Action{})
	if !errors.Is(err, ErrRefused) || err.Error() != "ask ha1: epoch 6 is refused: 7 was promised" {
		t.Errorf("refused: %v", err)
	}
	if err := c.Member(h, "shop", "db9").Act(t.Context(), cluster.Action{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
	s.err = errors.New("the disk is full")
	if _, err := c.Member(h, "shop", "db1").Probe(t.Context()); err == nil || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("other: %v", err)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	s, a := &somebody{}, newAuthority(t)
	c, h := world(t, s, a, "ha3")
	if _, err := c.Member(h, "shop", "db1").Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "ha3 is not in this host's file") {
		t.Errorf("a host of no file: %v", err)
	}
	if _, err := c.Member(Host{"ha2", h.Address}, "shop", "db1").Probe(t.Context()); err == nil {
		t.Error("ha1's certificate was taken for ha2's")
	}
	other := newAuthority(t)
	forged := NewCaller(other.host(t, "ha2"))
	defer forged.Close()
	if _, err := forged.Member(h, "shop", "db1").Probe(t.Context()); err == nil {
		t.Error("a certificate of another authority was believed")
	}
	mixed := a.host(t, "ha2")
	mixed.Certificate = other.host(t, "ha2").Certificate
	believing := NewCaller(mixed)
	defer believing.Close()
	if err := believing.Member(h, "shop", "db1").Act(t.Context(), cluster.Action{}); err == nil || s.acted.Verb != "" {
		t.Error("a client's certificate of another authority was believed")
	}
}

// TestASilentHostCostsOneDeadline: an answer that does not come is an error at the deadline, and the connection is used no more.
func TestASilentHostCostsOneDeadline(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := NewCaller(newAuthority(t).host(t, "ha2"))
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := c.Member(Host{"ha1", l.Addr().String()}, "shop", "db1").Probe(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silence: %v", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("silence took %s", took)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(200, []byte(`{"Name":"db1","Received":"1/42@0/2A","Ages":{"Heard":-1},"NewField":[1]}`))
	f.Add(409, []byte(`{"error":"no"}`))
	f.Add(500, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		var r Report
		if err := read(status, body, &r); err == nil && status != 200 {
			t.Errorf("status %d is no error", status)
		} else if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
