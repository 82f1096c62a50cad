package postgres

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

const mechanism = "SCRAM-SHA-256"

var (
	errScram    = errors.New("log in: the SCRAM exchange is broken")
	errPassword = errors.New("log in: the password does not fit")
)

// credential is what a login shows of a password: enough to log in at every server with the same verifier.
type credential struct {
	client, server [sha256.Size]byte // keys; the server's is from the verifier
}

// String hides it.
func (credential) String() string { return "credential" }

// exchange is the server's side of one SCRAM login (RFC 5802), without channel binding.
type exchange struct {
	verifier  verifier
	header    string // gs2, as it came
	firstBare string
	first     string // of ours
	nonce     string
}

// challenge answers the client's first message.
func (x *exchange) challenge(message string) (string, error) {
	flag, rest, ok := strings.Cut(message, ",")
	_, bare, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 || flag != "n" && flag != "y" {
		return "", errScram
	}
	x.header = message[:len(message)-len(bare)]
	x.firstBare = bare
	nonce := ""
	for _, a := range strings.Split(bare, ",") {
		if v, ok := strings.CutPrefix(a, "r="); ok {
			nonce = v
		} else if strings.HasPrefix(a, "m=") {
			return "", errScram // an extension that must be known
		}
	}
	if nonce == "" {
		return "", errScram
	}
	x.nonce = nonce + newNonce()
	x.first = "r=" + x.nonce + ",s=" + base64.StdEncoding.EncodeToString(x.verifier.salt) + ",i=" + strconv.Itoa(x.verifier.iterations)
	return x.first, nil
}

// finish proves the client's last message and gives the answer to it, with the key that the proof shows.
func (x *exchange) finish(message string) (answer string, key credential, err error) {
	i := strings.LastIndex(message, ",p=")
	if i < 0 {
		return "", key, errScram
	}
	bound, rest, ok := strings.Cut(message[:i], ",")
	nonce, _, _ := strings.Cut(rest, ",")
	if !ok || bound != "c="+base64.StdEncoding.EncodeToString([]byte(x.header)) || nonce != "r="+x.nonce {
		return "", key, errScram
	}
	proof, err := base64.StdEncoding.DecodeString(message[i+3:])
	if err != nil || len(proof) != sha256.Size {
		return "", key, errScram
	}
	all := x.firstBare + "," + x.first + "," + message[:i]
	signature := mac(x.verifier.stored[:], all)
	for i := range proof {
		key.client[i] = proof[i] ^ signature[i]
	}
	if stored := sha256.Sum256(key.client[:]); !hmac.Equal(stored[:], x.verifier.stored[:]) {
		return "", credential{}, errPassword
	}
	key.server = x.verifier.serverKey
	return "v=" + base64.StdEncoding.EncodeToString(mac(x.verifier.serverKey[:], all)), key, nil
}

// response is the client's side of a login with a key in place of a password.
type response struct {
	credential
	bare, nonce, all string
}

// begin is the client's first message.
func (r *response) begin() string {
	r.nonce = newNonce()
	r.bare = "n=,r=" + r.nonce
	return "n,," + r.bare
}

// prove answers the server's challenge. Whose salt it is need not be looked at: a server with another one has another
// stored key too, and refuses the proof.
func (r *response) prove(challenge string) (string, error) {
	nonce, _, _ := strings.Cut(challenge, ",")
	nonce, ok := strings.CutPrefix(nonce, "r=")
	if !ok || !strings.HasPrefix(nonce, r.nonce) || len(nonce) == len(r.nonce) {
		return "", errScram
	}
	last := "c=biws,r=" + nonce
	r.all = r.bare + "," + challenge + "," + last
	stored := sha256.Sum256(r.client[:])
	proof := mac(stored[:], r.all)
	for i := range proof {
		proof[i] ^= r.client[i]
	}
	return last + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

// signed says whether the server's last message proves that it knows the verifier.
func (r *response) signed(message string) bool {
	v, ok := strings.CutPrefix(message, "v=")
	b, err := base64.StdEncoding.DecodeString(v)
	return ok && err == nil && hmac.Equal(b, mac(r.server[:], r.all))
}

func newNonce() string {
	b := make([]byte, 18)
	_, _ = rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}
