// Package post makes one HTTP request of a notice: with a deadline, without following redirects, and with errors that say
// what went wrong and hold nothing of the address, which is a secret of the receiver. It does not try again: the outbox does.
package post

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/backstaydb/backstay/internal/notify"
)

// client does not follow redirects: a message, its signature and its key would go to whom the other side names.
var client = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		DisableKeepAlives:     true, // Messages are rare; a kept connection would be dead by the next one.
		ForceAttemptHTTP2:     true,
	},
}

// Do sends one request and returns nil if the answer's status is 2xx. Any other error is a *notify.Failure.
func Do(ctx context.Context, method, address string, header http.Header, body []byte) error {
	_, err := Ask(ctx, method, address, header, body)
	return err
}

// Ask is Do for those who need the answer: it returns at most 64 KiB of it, also of one that is a failure.
func Ask(ctx context.Context, method, address string, header http.Header, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, &notify.Failure{Reason: "the address is no URL", Permanent: true}
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "backstay")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, Failed(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if failure := Answered(resp.StatusCode, resp.Header.Get("Retry-After")); failure != nil {
		return answer, failure
	}
	if err != nil {
		return nil, Failed(err)
	}
	return answer, nil
}

// Answered returns why a status is none of success; nil if it is. What the receiver may take later is not permanent.
func Answered(status int, retryAfter string) error {
	if status >= 200 && status < 300 {
		return nil
	}
	f := &notify.Failure{Reason: "it answered " + strconv.Itoa(status)}
	if words := http.StatusText(status); words != "" {
		f.Reason += " " + words
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusConflict:
	default:
		f.Permanent = status < 500
	}
	if seconds, err := strconv.Atoi(retryAfter); err == nil && seconds > 0 && seconds < 1<<20 {
		f.Wait = time.Duration(seconds) * time.Second
	}
	return f
}

// Unknown is the reason that Failed gives when it knows none.
const Unknown = "the connection failed"

// Failed says in words why a connection came to nothing. It takes from err only facts that it knows, since the rest may
// hold the address.
func Failed(err error) *notify.Failure {
	f := &notify.Failure{Reason: Unknown}
	var dns *net.DNSError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		f.Reason = "it was cancelled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		f.Reason = "it did not answer in time"
	case errors.As(err, &dns) && dns.IsNotFound:
		f.Reason = "its host name is not known"
	case errors.As(err, &dns):
		f.Reason = "its host name could not be looked up"
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &host), errors.As(err, &verify):
		f.Reason = "its TLS certificate is not valid for it, or signed by nobody whom this host trusts"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		f.Reason = "it does not speak TLS"
	case errors.As(err, &errno):
		f.Reason = "the connection failed: " + errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.Reason = "it closed the connection without an answer"
	}
	return f
}

// Address splits raw, a URL whose scheme begins with kind ("webhook+https://user:password@host/path"), into the URL to
// post to and what stood before the host. Its errors hold nothing of raw.
func Address(kind, raw string) (address string, user *url.Userinfo, err error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		return "", nil, fmt.Errorf("parse %s address: it is no URL", kind)
	}
	switch u.Scheme {
	case kind + "+https", kind:
		u.Scheme = "https"
	case kind + "+http":
		u.Scheme = "http"
	default:
		return "", nil, fmt.Errorf("parse %s address: it begins with neither %s+https:// nor %s+http://", kind, kind, kind)
	}
	if u.Host == "" {
		return "", nil, fmt.Errorf("parse %s address: it names no host", kind)
	}
	user, u.User = u.User, nil
	u.Fragment = ""
	return u.String(), user, nil
}
