package authority

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/lease"
)

// Token lets one host join once. It is a secret: it is shown to the person who made it, and nowhere else.
type Token struct {
	Host        string `json:"h"` // that may join
	URL         string `json:"u"` // https URL of a host that signs
	Fingerprint string `json:"f"` // of the authority's certificate
	Secret      string `json:"s"`
}

const tokenMark = "bsj1."

// Text is the token as a person carries it: one word.
func (t Token) Text() string {
	body, err := json.Marshal(t)
	if err != nil {
		panic(err) // four strings
	}
	return tokenMark + base64.RawURLEncoding.EncodeToString(body)
}

// String hides the secret.
func (t Token) String() string { return "token for " + t.Host }

// GoString hides it from %#v too.
func (t Token) GoString() string { return t.String() }

// ParseToken reads what Text wrote.
func ParseToken(text string) (Token, error) {
	bad := errors.New("parse token: it is not one, or not all of it was copied")
	body, ok := strings.CutPrefix(strings.TrimSpace(text), tokenMark)
	if !ok || len(body) > 4096 {
		return Token{}, bad
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return Token{}, bad
	}
	var t Token
	if json.Unmarshal(raw, &t) != nil || t.Host == "" || len(t.Fingerprint) != 2*sha256.Size || t.Secret == "" {
		return Token{}, bad
	}
	if u, err := url.Parse(t.URL); err != nil || u.Scheme != "https" || u.Host == "" {
		return Token{}, bad
	}
	return t, nil
}

// pending is what is kept of a token: who reads it can prove the token's word, and can't make the token.
type pending struct {
	Proof []byte    `json:"proof"` // key of proofs
	Names Names     `json:"names"`
	Ends  time.Time `json:"ends"`
	Key   string    `json:"key,omitempty"` // digest of the public key that it was used with
}

// derive makes what a token's secret stands for, each for a purpose of its own. The secret itself is never said: another host of the
// cluster that passes itself off as the one that signs learns nothing that it could use.
func derive(secret, purpose string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("backstay join " + purpose))
	return mac.Sum(nil)
}

// idOf names a token.
func idOf(secret string) string { return hex.EncodeToString(derive(secret, "id")[:16]) }

// prove says that whoever has the token wants this key certified for this host.
func prove(key []byte, host string, request []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(host + "\x00"))
	mac.Write(request)
	return mac.Sum(nil)
}

// NewToken makes a token for a host and keeps it in the coordination until it ends.
func (a *Authority) NewToken(ctx context.Context, book lease.Store, n Names, at string, ends time.Time) (Token, error) {
	var secret [20]byte
	_, _ = rand.Read(secret[:]) // it never fails: crypto/rand ends the process first
	t := Token{n.Host, at, a.Fingerprint(), base64.RawURLEncoding.EncodeToString(secret[:])}
	if _, err := ParseToken(t.Text()); err != nil {
		return Token{}, fmt.Errorf("make token: host %q at %q: want a name and an https URL", n.Host, at)
	}
	value, err := json.Marshal(pending{Proof: derive(t.Secret, "proof"), Names: n, Ends: ends})
	if err != nil {
		return Token{}, fmt.Errorf("make token: %w", err)
	}
	if _, err := book.Swap(ctx, documentOf(idOf(t.Secret)), 0, value); err != nil {
		return Token{}, fmt.Errorf("make token: %w", err)
	}
	return t, nil
}

// Errors of a token that is refused.
var (
	ErrUnknownToken = errors.New("this token was never given out")
	ErrEnded        = errors.New("the token has ended")
	ErrUsed         = errors.New("the token was used already")
	ErrOtherHost    = errors.New("the token is for another host")
)

// documentOf keeps a token. Whatever somebody says that it is called, it is one of these documents.
func documentOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "join-" + hex.EncodeToString(sum[:16])
}

// redeem marks a token as used with a key. Used again with the same key it is good: the answer was lost.
func redeem(ctx context.Context, book lease.Store, q joining, key string, now time.Time) (Names, error) {
	name := documentOf(q.Token)
	e, err := book.Get(ctx, name)
	if err != nil {
		return Names{}, err
	}
	if e.Revision == 0 {
		return Names{}, ErrUnknownToken
	}
	var p pending
	if err := json.Unmarshal(e.Value, &p); err != nil {
		return Names{}, fmt.Errorf("read token: %w", err)
	}
	switch {
	case !hmac.Equal(q.Proof, prove(p.Proof, q.Host, q.Request)):
		return Names{}, ErrUnknownToken
	case now.After(p.Ends):
		return Names{}, ErrEnded
	case p.Names.Host != q.Host:
		return Names{}, ErrOtherHost
	case p.Key == key:
		return p.Names, nil
	case p.Key != "":
		return Names{}, ErrUsed
	}
	p.Key = key
	value, err := json.Marshal(p)
	if err != nil {
		return Names{}, err
	}
	_, err = book.Swap(ctx, name, e.Revision, value)
	if errors.Is(err, lease.ErrStale) {
		return Names{}, ErrUsed
	}
	return p.Names, err
}
