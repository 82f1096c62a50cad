package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Verifiers gives the verifier of a role as servers keep it (pg_authid.rolpassword), "" if there is no such role or it
// has none. Where it returns ErrUnread the login passes through.
type Verifiers func(ctx context.Context, role string) (string, error)

// ErrUnread says that nobody lets the proxy read a verifier.
var ErrUnread = errors.New("no server lets the proxy read password verifiers")

// verifier is what a server keeps of a password for SCRAM-SHA-256 (RFC 5803).
type verifier struct {
	iterations        int
	salt              []byte
	stored, serverKey [sha256.Size]byte
}

var errVerifier = errors.New("read a password verifier: it is none for SCRAM-SHA-256")

// parseVerifier reads SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY.
func parseVerifier(s string) (v verifier, err error) {
	rest, ok := strings.CutPrefix(s, "SCRAM-SHA-256$")
	first, second, ok2 := strings.Cut(rest, "$")
	count, salt, ok3 := strings.Cut(first, ":")
	stored, server, ok4 := strings.Cut(second, ":")
	if !ok || !ok2 || !ok3 || !ok4 {
		return v, errVerifier
	}
	if v.iterations, err = strconv.Atoi(count); err != nil || v.iterations < 1 {
		return v, errVerifier
	}
	if v.salt, err = base64.StdEncoding.DecodeString(salt); err != nil || len(v.salt) == 0 {
		return v, errVerifier
	}
	for _, k := range []struct {
		to   *[sha256.Size]byte
		from string
	}{{&v.stored, stored}, {&v.serverKey, server}} {
		b, err := base64.StdEncoding.DecodeString(k.from)
		if err != nil || len(b) != sha256.Size {
			return v, errVerifier
		}
		copy(k.to[:], b)
	}
	return v, nil
}

// mock is a verifier that no password fits, the same each time for a role, so that a login does not tell who exists.
func mock(secret []byte, role string) verifier {
	v := verifier{iterations: 4096, salt: mac(secret, "salt "+role)[:16]}
	copy(v.stored[:], mac(secret, "stored "+role))
	copy(v.serverKey[:], mac(secret, "server "+role))
	return v
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

// String hides all of it.
func (v verifier) String() string { return fmt.Sprintf("verifier of %d iterations", v.iterations) }
