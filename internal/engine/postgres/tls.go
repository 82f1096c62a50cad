package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// tlsHint says what helps where a connection failed over its encryption, "" where it did not.
func tlsHint(err error) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "the server's certificate was signed by another authority than those that are trusted: name the file with its certificate, ?sslmode=verify-full&sslrootcert=FILE"
	case errors.As(err, &name) && name.Certificate != nil:
		return fmt.Sprintf("the server's certificate is for %s: name the host like that in the URL, or accept any name that the authority signed, ?sslmode=verify-ca",
			strings.Join(certifiedNames(name.Certificate), ", "))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate is not valid at this time: renew it, and compare the clocks of both hosts"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "see the server's ssl_cert_file, and the sslrootcert of the URL"
	case strings.Contains(err.Error(), "server refused TLS connection"): // pgconn has no type for it
		return "turn it on at the server (ALTER SYSTEM SET ssl = on, with ssl_cert_file and ssl_key_file), or see that the URL leads to it and not to a proxy"
	}
	return ""
}

// certifiedNames are the names and addresses that a certificate is for.
func certifiedNames(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return []string{"no name at all"}
	}
	return names
}
