package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

const (
	hostCertFile = "host.crt"
	hostKeyFile  = "host.key"
	nextKeyFile  = "next.key" // of a request under way: if its answer is lost, it is asked again with the same key
)

// Identity is one host's: its key, its certificate, and the authority's certificate. Its methods may be called from several goroutines.
type Identity struct {
	dir string

	mu   sync.Mutex
	pair *tls.Certificate
	pool *x509.CertPool
	cas  []byte
}

// OpenIdentity reads dir. Without a certificate there it is fs.ErrNotExist: the host has not joined.
func OpenIdentity(dir string) (*Identity, error) {
	i := &Identity{dir: dir}
	if err := i.read(); err != nil {
		return nil, fmt.Errorf("open this host's identity: %w", err)
	}
	return i, nil
}

// FirstIdentity is that of the host on which the authority was made: no token is needed.
func FirstIdentity(dir string, a *Authority, n Names, now time.Time) (*Identity, error) {
	key, request, err := ask(dir)
	if err != nil {
		return nil, err
	}
	cert, err := a.Issue(request, n, now)
	if err != nil {
		return nil, err
	}
	if err := install(dir, key, cert, a.PEM()); err != nil {
		return nil, err
	}
	return OpenIdentity(dir)
}

// ask makes a request with the key of the last request that was not answered, or a new key.
func ask(dir string) (crypto.Signer, []byte, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	key, err := nextKey(filepath.Join(dir, nextKeyFile))
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "backstay"}}, key)
	return key, request, err
}

func nextKey(path string) (crypto.Signer, error) {
	if there, err := exists(path); err != nil {
		return nil, err
	} else if there {
		if text, err := os.ReadFile(path); err == nil {
			if key, err := parseKey(text); err == nil {
				return key, nil
			}
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	text, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	return key, atomicfile.Write(path, text, 0o600)
}

// install puts key and certificate in place. A crash between the two files leaves a pair that does not fit; next.key is still there then, and
// read goes on with it.
func install(dir string, key crypto.Signer, cert, ca []byte) error {
	text, err := keyPEM(key)
	if err != nil {
		return fmt.Errorf("install certificate: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{certFile, ca}, {hostCertFile, cert}, {hostKeyFile, text}} {
		if err := atomicfile.Write(filepath.Join(dir, f.name), f.data, 0o600); err != nil {
			return fmt.Errorf("install certificate: %w", err)
		}
	}
	return os.Remove(filepath.Join(dir, nextKeyFile))
}

func (i *Identity) read() error {
	pair, err := tls.LoadX509KeyPair(i.path(hostCertFile), i.path(hostKeyFile))
	if err != nil {
		next, nerr := tls.LoadX509KeyPair(i.path(hostCertFile), i.path(nextKeyFile))
		if nerr != nil {
			return err
		}
		text, err := os.ReadFile(i.path(nextKeyFile))
		if err != nil {
			return err
		}
		if err := atomicfile.Write(i.path(hostKeyFile), text, 0o600); err != nil {
			return err
		}
		pair = next
	}
	if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		return err
	}
	cas, err := os.ReadFile(i.path(certFile))
	if err != nil {
		return err
	}
	certs, err := parseCerts(cas)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.pair, i.pool, i.cas = &pair, pool, cas
	return nil
}

func (i *Identity) path(name string) string { return filepath.Join(i.dir, name) }

// Paths are the files of the authority's certificate, the host's certificate and its key, for those who read files.
func (i *Identity) Paths() (ca, cert, key string) {
	return i.path(certFile), i.path(hostCertFile), i.path(hostKeyFile)
}

// Certificate is the present one, for peer.Identity.
func (i *Identity) Certificate() (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.pair, nil
}

// Authorities are those whose certificates are believed, for peer.Identity.
func (i *Identity) Authorities() (*x509.CertPool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.pool, nil
}

// Names are what the present certificate says.
func (i *Identity) Names() (Names, error) {
	pair, _ := i.Certificate()
	return namesOf(pair.Leaf)
}

// Ends is when the present certificate does.
func (i *Identity) Ends() time.Time {
	pair, _ := i.Certificate()
	return pair.Leaf.NotAfter
}

// Due reports whether half of the certificate's time is over, from when on it is to be renewed.
func (i *Identity) Due(now time.Time) bool {
	pair, _ := i.Certificate()
	return now.After(pair.Leaf.NotBefore.Add(pair.Leaf.NotAfter.Sub(pair.Leaf.NotBefore) / 2))
}

// replace takes a new certificate into use, for files and for the connections to come.
func (i *Identity) replace(key crypto.Signer, cert []byte) error {
	i.mu.Lock()
	cas := i.cas
	i.mu.Unlock()
	if err := install(i.dir, key, cert, cas); err != nil {
		return err
	}
	return i.read()
}
