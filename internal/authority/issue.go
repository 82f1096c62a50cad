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

// Names are what a host's certificate says of it.
type Names struct {
	Host      string   `json:"host"`                // in backstay.yaml; the first DNS name
	Addresses []string `json:"addresses,omitempty"` // host names and IP addresses at which others reach it
	Decides   bool     `json:"decides,omitempty"`   // runs a voter, a keeper or an agent; a host that runs proxies only does not
}

// Decider is a DNS name that the certificates of hosts that decide bear, and no others: the coordination lets nobody else in.
const Decider = "decider.backstay.internal"

// Issue signs a host's request. Of the request only the key counts, and that whoever asks has it; the names are the authority's to say.
func (a *Authority) Issue(request []byte, n Names, now time.Time) ([]byte, error) {
	r, err := x509.ParseCertificateRequest(request)
	if err == nil {
		err = r.CheckSignature()
	}
	if err == nil && (n.Host == "" || n.Host == Decider) {
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
	if n.Decides {
		template.DNSNames = append(template.DNSNames, Decider)
	}
	for _, at := range n.Addresses {
		if at == Decider {
			return nil, fmt.Errorf("issue certificate: %q is no address", at)
		}
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
	n := Names{Host: c.DNSNames[0], Decides: slices.Contains(c.DNSNames, Decider)}
	for _, name := range c.DNSNames[1:] {
		if name != Decider {
			n.Addresses = append(n.Addresses, name)
		}
	}
	for _, ip := range c.IPAddresses {
		n.Addresses = append(n.Addresses, ip.String())
	}
	return n, nil
}
