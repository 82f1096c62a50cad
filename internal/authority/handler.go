package authority

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/backstaydb/backstay/internal/lease"
)

// Desk answers hosts that join or renew, on the host that has the authority's key.
type Desk struct {
	Authority *Authority
	Identity  *Identity                          // of this host
	Book      lease.Store                        // of the tokens
	Now       func() time.Time                   // nil means time.Now
	Known     func(host string) bool             // whether a host still stands in the file; nil: all do. One that was taken out is not renewed
	Told      func(host, what string, err error) // for audit and log; nil: nobody
}

// TLS is how the desk is to be served: who joins has no certificate yet.
func (d *Desk) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			pair, _ := d.Identity.Certificate()
			pool, _ := d.Identity.Authorities()
			own := *pair
			own.Certificate = append(own.Certificate[:1:1], d.Authority.cert.Raw) // the authority's too: the joining host knows its fingerprint
			return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}, nil
		},
	}
}

// Serve answers on l until ctx ends; l is closed then.
func (d *Desk) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{Handler: d.Handler(), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(tls.NewListener(l, d.TLS())); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Handler answers JoinPath and RenewPath.
func (d *Desk) Handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("POST "+JoinPath, func(w http.ResponseWriter, r *http.Request) { d.answer(w, r, "joined", d.join) })
	m.HandleFunc("POST "+RenewPath, func(w http.ResponseWriter, r *http.Request) { d.answer(w, r, "renewed its certificate", d.renew) })
	return m
}

func (d *Desk) answer(w http.ResponseWriter, r *http.Request, what string, do func(*http.Request, joining) (host string, cert []byte, err error)) {
	var q joining
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	host, answer := "", joined{}
	if err == nil {
		host, answer.Certificate, err = do(r, q)
	}
	if d.Told != nil {
		d.Told(host, what, err)
	}
	status := http.StatusOK
	if err != nil {
		status, answer = http.StatusForbidden, joined{Error: err.Error()}
	} else {
		answer.Authority = d.Authority.PEM()
	}
	text, err := json.Marshal(answer)
	if err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // who asked may be gone
}

func (d *Desk) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

func (d *Desk) join(r *http.Request, q joining) (string, []byte, error) {
	key, err := keyDigest(q.Request)
	if err != nil {
		return q.Host, nil, errors.New("the request is not one for a certificate")
	}
	n, err := redeem(r.Context(), d.Book, q, key, d.now())
	if err != nil {
		return q.Host, nil, err
	}
	cert, err := d.Authority.Issue(q.Request, n, d.now())
	return n.Host, cert, err
}

func (d *Desk) renew(r *http.Request, q joining) (string, []byte, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return "", nil, errors.New("the connection shows no certificate")
	}
	n, err := namesOf(r.TLS.VerifiedChains[0][0])
	if err != nil {
		return "", nil, err
	}
	if d.Known != nil && !d.Known(n.Host) {
		return n.Host, nil, errors.New("host " + n.Host + " is not in the file any more")
	}
	cert, err := d.Authority.Issue(q.Request, n, d.now())
	return n.Host, cert, err
}
