// Package authority keeps who may take part in a cluster: a small certificate authority of the cluster's own, the certificates of its hosts, and
// the tokens with which a host joins.
//
//	cluster init ──▶ Authority (ca.crt, ca.key) ── Issue ──▶ Identity of the first host
//	cluster token ha3 ──▶ Token ── by a person ──▶ Join on ha3 ── its own key's request ──▶ Handler ──▶ certificate
//	                                               Renew, long before the end, by the certificate that it has
//
// A private key never leaves the host that made it. A token names one host, carries the authority's fingerprint, so that the joining host knows whom
// it speaks to before it says the secret, ends, and can be used with one key only. Its secret is never sent: the joining host proves that it has it, for the key that it wants certified; the
// coordination keeps what such proofs are checked with.
// Files are of mode 0600.
package authority

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

// How long certificates are good for. A host's is renewed from half of its time on: months in which the host that has the authority's key may be
// away, and nobody's connection breaks.
const (
	ownLife  = 20 * 365 * 24 * time.Hour
	hostLife = 365 * 24 * time.Hour
	skew     = time.Hour // by which a host's time of day may be behind
)

const (
	certFile = "ca.crt"
	keyFile  = "ca.key"
)

// Authority can sign certificates. Who has its key can make a host; it lies on the host where the cluster was made, and in a copy that people keep.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// New makes an authority for a cluster.
func New(cluster string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Backstay cluster " + cluster}, SerialNumber: serial(),
		NotBefore: now.Add(-skew), NotAfter: now.Add(ownLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{cert, key}, err
}

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails: crypto/rand ends the process first
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

// Save writes ca.crt and ca.key into dir. An authority that is there already is never replaced: every certificate of the cluster hangs on it.
func (a *Authority) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save authority: %w", err)
	}
	key, err := keyPEM(a.key)
	if err != nil {
		return fmt.Errorf("save authority: %w", err)
	}
	if there, err := exists(filepath.Join(dir, keyFile)); there || err != nil {
		return fmt.Errorf("save authority: %s: %w", filepath.Join(dir, keyFile), cmp.Or(err, fs.ErrExist))
	}
	// The key last: without it nothing was signed, and another Save begins anew.
	if err := atomicfile.Write(filepath.Join(dir, certFile), a.PEM(), 0o600); err != nil {
		return fmt.Errorf("save authority: %w", err)
	}
	if err := atomicfile.CreateOnly(filepath.Join(dir, keyFile), key, 0o600); err != nil {
		return fmt.Errorf("save authority: %w", err)
	}
	return nil
}

// Load reads what Save wrote. A folder without a key is fs.ErrNotExist: another host is the one that signs.
func Load(dir string) (*Authority, error) {
	key, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	cert, err := os.ReadFile(filepath.Join(dir, certFile))
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	certs, err := parseCerts(cert)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	a := &Authority{cert: certs[0]}
	if a.key, err = parseKey(key); err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	if !a.key.Public().(*ecdsa.PublicKey).Equal(a.cert.PublicKey) {
		return nil, errors.New("load authority: ca.key is not the key of ca.crt")
	}
	return a, nil
}

// PEM is the authority's certificate, which every host has.
func (a *Authority) PEM() []byte { return certPEM(a.cert.Raw) }

// Fingerprint is the SHA-256 of the certificate, in hexadecimal.
func (a *Authority) Fingerprint() string { return fingerprint(a.cert) }

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

func parseCerts(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("no certificate is in it")
	}
	return all, nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no private key is in it")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T, want ECDSA", key)
	}
	return signer, nil
}

// exists tells a file that is not there from one that can't be read.
func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
