package authority

import (
	"context"
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

// pending is what is kept of a token.
type pending struct {
	Names Names     `json:"names"`
	Ends  time.Time `json:"ends"`
	Key   string    `json:"key,omitempty"` // digest of the public key that it was used with
}

// keyOf is the document that keeps a token: who reads it learns no secret.
func keyOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "join-" + hex.EncodeToString(sum[:16])
}

// NewToken makes a token for a host and keeps it in the coordination until it ends.
func (a *Authority) NewToken(ctx context.Context, book lease.Store, n Names, at string, ends time.Time) (Token, error) {
	var secret [20]byte
	_, _ = rand.Read(secret[:]) // it never fails: crypto/rand ends the process first
	t := Token{n.Host, at, a.Fingerprint(), base64.RawURLEncoding.EncodeToString(secret[:])}
	if _, err := ParseToken(t.Text()); err != nil {
		return Token{}, fmt.Errorf("make token: host %q at %q: want a name and an https URL", n.Host, at)
	}
	value, err := json.Marshal(pending{Names: n, Ends: ends})
	if err != nil {
		return Token{}, fmt.Errorf("make token: %w", err)
	}
	if _, err := book.Swap(ctx, keyOf(t.Secret), 0, value); err != nil {
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

// redeem marks a token as used with a key. Used again with the same key it is good: the answer was lost.
func redeem(ctx context.Context, book lease.Store, secret, host, key string, now time.Time) (Names, error) {
	e, err := book.Get(ctx, keyOf(secret))
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
	case now.After(p.Ends):
		return Names{}, ErrEnded
	case p.Names.Host != host:
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
	_, err = book.Swap(ctx, keyOf(secret), e.Revision, value)
	if errors.Is(err, lease.ErrStale) {
		return Names{}, ErrUsed
	}
	return p.Names, err
}
