// Package webhook posts notices as JSON to an address of one's own, signed as the Standard Webhooks specification says
// (standardwebhooks.com), for which there are libraries in most languages.
//
// The body is the notify.Message. Three headers come with it: webhook-id is the message's ID, the same when it is sent
// again, webhook-timestamp the time of this attempt in seconds since 1970, and webhook-signature "v1," and the base64 of
// HMAC-SHA256 over id, ".", timestamp, "." and the body. Without a secret there is no signature.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/post"
)

// Sender posts to one address.
type Sender struct {
	address string
	secret  []byte // empty means unsigned
}

// secretPrefix marks a secret that is the base64 of the key, as the specification writes it.
const secretPrefix = "whsec_"

// leastSecret is the shortest key that is worth signing with, in bytes.
const leastSecret = 16

// Open returns a sender for "webhook+https://:secret@host/path". The secret is at least 16 bytes, or "whsec_" and the
// base64 of so many (a "/" in it is written %2F); without one, messages are not signed.
func Open(address string) (*Sender, error) {
	address, user, err := post.Address("webhook", address)
	if err != nil {
		return nil, err
	}
	s := &Sender{address: address}
	if user == nil {
		return s, nil
	}
	secret, _ := user.Password()
	if secret == "" {
		secret = user.Username()
	}
	s.secret = []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, secretPrefix); ok {
		if s.secret, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("parse webhook address: what follows whsec_ is not base64")
		}
	}
	if len(s.secret) < leastSecret {
		return nil, errors.New("parse webhook address: the secret has less than 16 bytes")
	}
	return s, nil
}

// Send posts m.
func (s *Sender) Send(ctx context.Context, m notify.Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return &notify.Failure{Reason: "the message cannot be written as JSON", Permanent: true}
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("Webhook-Id", m.ID)
	header.Set("Webhook-Timestamp", stamp)
	if len(s.secret) > 0 {
		header.Set("Webhook-Signature", s.sign(m.ID, stamp, body))
	}
	return post.Do(ctx, http.MethodPost, s.address, header, body)
}

func (s *Sender) sign(id, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
