package peer

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Identity is who a process is towards the others, and whom it believes. Both functions are called for each connection, so that
// certificates can be replaced while the process runs.
type Identity struct {
	// Certificate is this host's, good for client and server; its first DNS name is the host's name in backstay.yaml.
	Certificate func() (*tls.Certificate, error)
	// Authorities are those whose certificates are believed: the cluster's own.
	Authorities func() (*x509.CertPool, error)
}

// Server is the TLS side of who is asked: it wants a certificate of each client.
func (i Identity) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c, roots, err := i.now()
			if err != nil {
				return nil, err
			}
			return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*c}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert}, nil
		},
	}
}

// Client is the TLS side of who asks host: nobody else's certificate is taken for its.
func (i Identity) Client(host string) (*tls.Config, error) {
	c, roots, err := i.now()
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*c}, RootCAs: roots, ServerName: host}, nil
}

func (i Identity) now() (*tls.Certificate, *x509.CertPool, error) {
	c, err := i.Certificate()
	if err != nil {
		return nil, nil, fmt.Errorf("read this host's certificate: %w", err)
	}
	roots, err := i.Authorities()
	if err != nil {
		return nil, nil, fmt.Errorf("read the cluster's authority: %w", err)
	}
	return c, roots, nil
}

var errNobody = errors.New("the connection shows no certificate")

// HostOf is the host that a verified connection comes from.
func HostOf(c *tls.ConnectionState) (string, error) {
	if c == nil || len(c.VerifiedChains) == 0 {
		return "", errNobody
	}
	leaf := c.VerifiedChains[0][0]
	if len(leaf.DNSNames) == 0 {
		return "", fmt.Errorf("the certificate %s names no host", leaf.Subject)
	}
	return leaf.DNSNames[0], nil
}
