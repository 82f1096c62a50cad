package authority

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// The paths that Handler answers.
const (
	JoinPath  = "/authority/1/join"
	RenewPath = "/authority/1/renew"
)

type (
	joining struct {
		Token   string `json:"token,omitempty"` // its name
		Proof   []byte `json:"proof,omitempty"` // that whoever has it wants this
		Host    string `json:"host,omitempty"`
		Request []byte `json:"request"` // of a certificate, DER
	}
	joined struct {
		Certificate []byte `json:"certificate,omitempty"` // PEM
		Authority   []byte `json:"authority,omitempty"`   // PEM
		Error       string `json:"error,omitempty"`
	}
)

// maxBody bounds what either side reads.
const maxBody = 64 << 10

// Join makes this host's identity in dir with a token. host is the name by which this host knows itself. The other side has to show
// the authority's certificate of the token's fingerprint and one of its own that was signed by it; the token's secret is not said even then.
func Join(ctx context.Context, dir string, t Token, host string) (*Identity, error) {
	if t.Host != host {
		return nil, fmt.Errorf("join: %w: %s, and this one is %s", ErrOtherHost, t.Host, host)
	}
	key, request, err := ask(dir)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	var ca *x509.Certificate
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, // the fingerprint says whom to believe, see VerifyConnection
		VerifyConnection: func(c tls.ConnectionState) (err error) {
			ca, err = pinned(c.PeerCertificates, t.Fingerprint)
			return err
		},
	}
	got, err := post(ctx, config, t.URL, JoinPath, joining{idOf(t.Secret), prove(derive(t.Secret, "proof"), host, request), host, request})
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	if err := install(dir, key, got.Certificate, certPEM(ca.Raw)); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	return OpenIdentity(dir)
}

// pinned finds the authority of that fingerprint in what a server shows, and sees that the server's own certificate is from it.
func pinned(shown []*x509.Certificate, want string) (*x509.Certificate, error) {
	for _, c := range shown[min(1, len(shown)):] {
		if fingerprint(c) != want {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(c)
		_, err := shown[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		return c, err
	}
	return nil, errors.New("whoever answers there is not of the cluster that the token is for")
}

// Renew asks a host that signs for a new certificate with the names of the present one, and uses it from then on. signer is the name of that host.
func (i *Identity) Renew(ctx context.Context, at, signer string) error {
	key, request, err := ask(i.dir)
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	pair, _ := i.Certificate()
	pool, _ := i.Authorities()
	config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*pair}, RootCAs: pool, ServerName: signer}
	got, err := post(ctx, config, at, RenewPath, joining{Request: request})
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	return i.replace(key, got.Certificate)
}

// RenewBy renews on the host that signs.
func (i *Identity) RenewBy(a *Authority, now time.Time) error {
	n, err := i.Names()
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	key, request, err := ask(i.dir)
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	cert, err := a.Issue(request, n, now)
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	return i.replace(key, cert)
}

func post(ctx context.Context, config *tls.Config, at, path string, question joining) (joined, error) {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "https" {
		return joined{}, fmt.Errorf("%q: want an https URL", at)
	}
	body, err := json.Marshal(question)
	if err != nil {
		return joined{}, err
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return joined{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return joined{}, err
	}
	defer response.Body.Close()
	var got joined
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if response.StatusCode != http.StatusOK {
		return joined{}, errors.New(cmp.Or(got.Error, response.Status))
	}
	if err != nil {
		return joined{}, err
	}
	return got, nil
}

// keyDigest names a request's key.
func keyDigest(request []byte) (string, error) {
	r, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(r.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:]), nil
}
