package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // of its own certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), name+".pem")}
	a.cert, a.key = a.issue(t, a.file, "", &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotAfter: time.Now().Add(time.Hour),
	})
	return a
}

// issue writes a certificate, signed by a or by itself, and its key.
func (a *authority) issue(t *testing.T, file, keyFile string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	if keyFile != "" {
		err = errors.Join(err, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600),
			pgtest.Owner(t).Give(file), pgtest.Owner(t).Give(keyFile))
	}
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signed, key
}

func TestTLSWithAnAuthorityOfOnesOwn(t *testing.T) {
	takesLong(t)
	c := pgtest.New(t, pgtest.Options{})
	ours, other := newAuthority(t, "ours"), newAuthority(t, "other")
	cert, key := filepath.Join(c.Dir, "tls.crt"), filepath.Join(c.Dir, "tls.key")
	t.Setenv("PGPASSWORD", pgtest.Password)
	url := func(host, options string) string {
		return fmt.Sprintf("postgres://%s@%s:%d/postgres?%s", pgtest.Backup, host, c.Port, options)
	}
	refused := func(url, text, help string) {
		t.Helper()
		_, err := Engine{}.Connect(t.Context(), url, engine.Options{Name: "shop"})
		if err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(hint(err), help) || strings.Contains(err.Error(), pgtest.Password) {
			t.Errorf("%v, hint %q; want %q and %q", err, hint(err), text, help)
		}
	}
	full := url("127.0.0.1", "sslmode=verify-full&sslrootcert="+ours.file)
	refused(full, "refused TLS", "ssl = on")

	lines := "local all all trust\nlocal replication all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nhostssl replication all 127.0.0.1/32 scram-sha-256\n"
	ours.issue(t, cert, key, &x509.Certificate{IPAddresses: []net.IP{{127, 0, 0, 1}}, DNSNames: []string{"db1.example"}, NotAfter: time.Now().Add(time.Hour)})
	c.HBA(t, lines)
	c.Set(t, map[string]string{"ssl": "on", "ssl_cert_file": cert, "ssl_key_file": key})
	c.Reload(t)
	s := connectBase(t, full)
	b := newBook(here(t, s))
	f := follow(t, s, b)
	c.Exec(t, "create table t (i int)")
	b.settled(t)
	if got := c.Ask(t, "select bool_and(ssl)::text from pg_stat_ssl join pg_stat_replication using (pid)"); got != "true" {
		t.Errorf("the log comes over TLS: %q", got)
	}
	f.stop()

	refused(url("127.0.0.1", "sslmode=verify-full&sslrootcert="+other.file), "unknown authority", "sslrootcert=FILE")
	refused(url("localhost", "sslmode=verify-full&sslrootcert="+ours.file), "", "db1.example")
	refused(url("127.0.0.1", "sslmode=verify-full&sslrootcert="+ours.file+".missing"), "CA file", "sslrootcert")
	refused(url("127.0.0.1", "sslmode=disable"), "pg_hba.conf", "host replication")
	connectBase(t, url("localhost", "sslmode=verify-ca&sslrootcert="+ours.file))

	ours.issue(t, cert, key, &x509.Certificate{IPAddresses: []net.IP{{127, 0, 0, 1}}, NotAfter: time.Now().Add(-time.Minute)})
	c.Reload(t)
	refused(full, "expired", "renew")
}
