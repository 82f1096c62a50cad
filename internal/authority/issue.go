package authority

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// Names are what a host's certificate says of it: who it is. What it may is said by the file on each host that it asks, so that a host that was taken out of
// the file may nothing at once, and not when its certificate ends.
type Names struct {
	Host      string   `json:"host"`                // in backstay.yaml; the first DNS name
	Addresses []string `json:"addresses,omitempty"` // host names and IP addresses at which others reach it
}

// Issue signs a host's request. Of the request only the key counts, and that whoever asks has it; the names are the authority's to say.
func (a *Authority) Issue(request []byte, n Names, now time.Time) ([]byte, error) {
	r, err := x509.ParseCertificateRequest(request)
	if err == nil {
		err = r.CheckSignature()
	}
	if err == nil && n.Host == "" {
		err = fmt.Errorf("%q is no host's name", n.Host)
	}
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	end := now.Add(hostLife)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: n.Host}, SerialNumber: serial(),
		NotBefore: now.Add(-skew), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{n.Host},
	}
	for _, at := range n.Addresses {
		if ip := net.ParseIP(at); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if !slices.Contains(template.DNSNames, at) {
			template.DNSNames = append(template.DNSNames, at)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, r.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	return certPEM(der), nil
}

// namesOf is what a certificate says: what a renewal keeps.
func namesOf(c *x509.Certificate) (Names, error) {
	if len(c.DNSNames) == 0 {
		return Names{}, errors.New("the certificate names no host")
	}
	n := Names{Host: c.DNSNames[0], Addresses: slices.Clone(c.DNSNames[1:])}
	for _, ip := range c.IPAddresses {
		n.Addresses = append(n.Addresses, ip.String())
	}
	return n, nil
}
