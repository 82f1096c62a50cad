package postgres_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/proxy/postgres"
	"github.com/backstaydb/backstay/internal/route"
)

// certificate is one for this host that signs itself.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "proxy"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestClientsMayEncrypt(t *testing.T) {
	o := options{}
	o.carrier.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	w := newWorld(t, o)
	w.serving(w.primary)
	for _, how := range []string{"sslmode=require", "sslmode=require&sslnegotiation=direct", "sslmode=prefer"} {
		conn, err := pgx.Connect(t.Context(), strings.Replace(w.url(app), "sslmode=disable", how, 1))
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		if _, is := conn.PgConn().Conn().(*tls.Conn); !is {
			t.Errorf("%s: not encrypted", how)
		}
		if got := ask(t, conn, "select repeat('x', 200000)"); len(got) != 200000 {
			t.Errorf("%s: %d bytes", how, len(got))
		}
		w.epoch++ // a session that was never asked ends, and its client reads why through the encryption
		w.apply(route.Route{Epoch: w.epoch, State: route.Serving, Address: address(w.primary), For: time.Hour})
		if _, err := conn.Exec(t.Context(), "select 1"); code(err) != "57P01" {
			t.Errorf("%s: %v after the epoch ended", how, err)
		}
	}
}

func TestReadersAreSpreadAndFallBack(t *testing.T) {
	w := newWorld(t, options{})
	standby := w.primary.Standby(t, "s1")
	l := proxy.NewListener(w.table, proxy.Config{Role: proxy.Read, MaxLag: time.Second})
	w.address = w.serve(l, postgres.Config{Verifiers: w.verifiers(w.primary)})
	r := route.Route{Epoch: 1, State: route.Serving, Address: address(w.primary), For: time.Hour, Replicas: []route.Replica{{Member: "s1", Address: address(standby)}}}
	w.apply(r)
	where := func(conn *pgx.Conn) string { return "127.0.0.1:" + ask(t, conn, "select inet_server_port()::text") }
	reader := w.connect()
	if got := where(reader); got != address(standby) {
		t.Errorf("reads from %s", got)
	}
	if _, err := reader.Exec(t.Context(), "set work_mem = '8MB'"); err != nil {
		t.Fatal(err)
	}
	r.Replicas[0].Lag = 3 * time.Second
	late := r
	late.Replicas = append([]route.Replica(nil), r.Replicas...)
	w.apply(late)
	if got := where(w.connect()); got != address(w.primary) {
		t.Errorf("reads from %s while the replica is late", got)
	}
	if got := where(reader); got != address(standby) {
		t.Errorf("a session was moved because of lag, to %s", got)
	}
	late.Replicas = nil
	w.apply(late)
	eventually(t, "the reader moves", func() bool { return l.Moved.Load() == 1 })
	if got := where(reader) + " " + ask(t, reader, "show work_mem"); got != address(w.primary)+" 8MB" {
		t.Errorf("the reader is at %s", got)
	}
}

// TestARefusalSaysWhy: no server lets the proxy read how a role logs in, since its own login fails, say. The client is told, and whoever runs the proxy, once.
func TestARefusalSaysWhy(t *testing.T) {
	w := newWorld(t, options{})
	var logged atomic.Int64
	w.address = w.serve(w.listener, postgres.Config{
		Verifiers: func(context.Context, string) (string, error) { return "", errors.New("no login here") },
		Log: func(_ string, args ...any) {
			if strings.Contains(fmt.Sprint(args...), "no login here") {
				logged.Add(1)
			}
		},
	})
	w.serving(w.primary)
	for range 3 {
		_, err := pgx.Connect(t.Context(), w.url(app))
		var said *pgconn.PgError
		if !errors.As(err, &said) || said.Code != "57P03" || !strings.Contains(said.Message, "cannot be read") || strings.Contains(said.Message, "no login here") {
			t.Fatalf("the client is told %v", err)
		}
	}
	if logged.Load() != 1 {
		t.Errorf("it is logged %d times", logged.Load())
	}
}

func TestLargeCopiesPass(t *testing.T) {
	w := newWorld(t, options{})
	w.serving(w.primary)
	conn := w.connect()
	if _, err := conn.Exec(t.Context(), "create table big(i int, s text)"); err != nil {
		t.Fatal(err)
	}
	const rows = 100000
	n := 0
	_, err := conn.CopyFrom(t.Context(), pgx.Identifier{"big"}, []string{"i", "s"}, pgx.CopyFromFunc(func() ([]any, error) {
		if n++; n > rows {
			return nil, nil
		}
		return []any{n, strings.Repeat("x", n%300)}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if _, err := conn.PgConn().CopyTo(t.Context(), &out, "copy (select i from big order by i) to stdout"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != rows {
		t.Errorf("%d rows came back, want %d", got, rows)
	}
	w.apply(route.Route{Epoch: w.epoch, State: route.Holding, Address: address(w.primary), For: time.Hour})
	eventually(t, "a COPY that is over leaves the session idle", func() bool { return w.table.Ack(route.ID{}).Drained && w.listener.Asked.Load() == 1 })
}

// TestPsycopgKeepsItsConnection asks with the driver that Django uses.
func TestPsycopgKeepsItsConnection(t *testing.T) {
	python := "/usr/bin/python3" // the one that distributions install drivers for; another may come first in PATH
	if err := exec.Command(python, "-c", "import psycopg2").Run(); err != nil {
		t.Skip("no python3 with psycopg2: install python3-psycopg2")
	}
	w := newWorld(t, options{})
	w.serving(w.primary)
	host, port, _ := net.SplitHostPort(w.address)
	cmd := exec.Command(python, "-c", fmt.Sprintf(`
import psycopg2, sys
c = psycopg2.connect(host=%q, port=%q, user=%q, password=%q, dbname="postgres", connect_timeout=3)
c.autocommit = True
k = c.cursor()
k.execute("set timezone to 'UTC'")
print("ready", flush=True)
sys.stdin.readline()
k.execute("show timezone")
print(k.fetchone()[0], flush=True)
`, host, port, app, pgtest.Password))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is connected", func() bool {
		return w.listener.Open.Load() == 1 && w.primary.Ask(t, "select count(*) from pg_stat_activity where usename = 'app' and query like 'set%'") == "1"
	})
	w.apply(route.Route{Epoch: w.epoch, State: route.Holding, Address: address(w.primary), For: time.Hour})
	eventually(t, "it is drained", func() bool { return w.table.Ack(route.ID{}).Drained })
	w.epoch++
	w.apply(route.Route{Epoch: w.epoch, State: route.Closed})
	w.apply(route.Route{Epoch: w.epoch, State: route.Serving, Address: address(w.primary), For: time.Hour})
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.HasSuffix(strings.TrimSpace(out.String()), "UTC") || w.listener.Moved.Load() != 1 {
		t.Errorf("%v, %s, moved %d", err, &out, w.listener.Moved.Load())
	}
}
