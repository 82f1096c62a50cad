package mysql

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/backstaydb/backstay/internal/engine"
)

// Capabilities of the client (Protocol::Capabilities).
const (
	longPassword     = 1 << 0
	speaks41         = 1 << 9
	wantsTLS         = 1 << 11
	secureConnection = 1 << 15
	pluginAuth       = 1 << 19

	utf8mb4 = 45 // collation of what is sent
)

// greeting is the server's first packet.
type greeting struct {
	capabilities uint32
	nonce        []byte // 20 bytes
	plugin       string
}

func readGreeting(b []byte) (g greeting, err error) {
	if b[0] != 10 {
		return g, fmt.Errorf("version %d of the protocol is not spoken", b[0])
	}
	_, rest, ok := bytes.Cut(b[1:], []byte{0}) // version
	if !ok || len(rest) < 4+8+1+2+1+2+2+1+10 {
		return g, errPacket
	}
	g.nonce = append(g.nonce, rest[4:12]...)
	g.capabilities = uint32(binary.LittleEndian.Uint16(rest[13:])) | uint32(binary.LittleEndian.Uint16(rest[18:]))<<16
	length := int(rest[20])
	rest = rest[31:]
	second := max(13, length-8)
	if len(rest) < second {
		return g, errPacket
	}
	g.nonce = append(g.nonce, bytes.TrimRight(rest[:second], "\x00")...)
	name, _, _ := bytes.Cut(rest[second:], []byte{0})
	g.plugin = string(name)
	return g, nil
}

// login goes through the handshake.
func (c *conn) login(ctx context.Context, user, password string, encrypt *tls.Config) error {
	defer c.within(ctx)()
	return cause(ctx, c.handshake(ctx, user, password, encrypt))
}

func (c *conn) handshake(ctx context.Context, user, password string, encrypt *tls.Config) error {
	b, err := c.read()
	if err != nil {
		return err
	}
	g, err := readGreeting(b)
	if err != nil {
		return err
	}
	flags := uint32(longPassword | speaks41 | secureConnection | pluginAuth)
	if encrypt != nil {
		if g.capabilities&wantsTLS == 0 {
			return errors.New("the server refuses encryption")
		}
		flags |= wantsTLS
		if err := c.write(hello(flags)); err != nil {
			return err
		}
		encrypted := tls.Client(c.Conn, encrypt)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return err
		}
		c.Conn = encrypted
	}
	answer, err := scramble(g.plugin, password, g.nonce)
	if err != nil { // the server may still ask for another way
		g.plugin, answer = "mysql_native_password", native(password, g.nonce)
	}
	out := append(hello(flags), user...)
	out = append(out, 0, byte(len(answer)))
	out = append(append(out, answer...), g.plugin...)
	if err := c.write(append(out, 0)); err != nil {
		return err
	}
	return c.prove(g.plugin, password, g.nonce)
}

// hello is what a handshake response and a request for TLS begin with.
func hello(flags uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, flags)
	b = binary.LittleEndian.AppendUint32(b, longest)
	b = append(b, utf8mb4)
	return append(b, make([]byte, 23)...)
}

// prove answers until the server says that the login is done.
func (c *conn) prove(plugin, password string, nonce []byte) error {
	for range 6 { // more than any login has
		b, err := c.read()
		if err != nil {
			return err
		}
		switch b[0] {
		case 0:
			return nil
		case 0xfe: // another way is wanted
			name, data, ok := bytes.Cut(b[1:], []byte{0})
			if !ok {
				return errPacket
			}
			plugin, nonce = string(name), bytes.TrimRight(data, "\x00")
			answer, err := scramble(plugin, password, nonce)
			if err == nil {
				err = c.write(answer)
			}
			if err != nil {
				return err
			}
		case 1:
			if err := c.more(plugin, password, nonce, b[1:]); err != nil {
				return err
			}
		default:
			return errPacket
		}
	}
	return errPacket
}

// more is caching_sha2_password's second part: 3 says that all is well, 4 that the server wants the password itself, which it gets
// encrypted: by the connection, or else with the server's own key.
func (c *conn) more(plugin, password string, nonce, data []byte) error {
	switch {
	case plugin != "caching_sha2_password" || len(data) == 0:
		return errPacket
	case data[0] == 3:
		return nil
	case data[0] != 4:
		return errPacket
	}
	plain := append([]byte(password), 0)
	if _, is := c.Conn.(*tls.Conn); is {
		return c.write(plain)
	}
	if err := c.write([]byte{2}); err != nil {
		return err
	}
	b, err := c.read()
	if err != nil {
		return err
	}
	sealed, err := sealWith(b[1:], plain, nonce)
	if err != nil {
		return err
	}
	return c.write(sealed)
}

// sealWith encrypts a password with the server's RSA key.
func sealWith(text, plain, nonce []byte) ([]byte, error) {
	block, _ := pem.Decode(text)
	if block == nil || len(nonce) == 0 {
		return nil, errPacket
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the server's key: %w", err)
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errPacket
	}
	for i := range plain {
		plain[i] ^= nonce[i%len(nonce)]
	}
	return rsa.EncryptOAEP(sha1.New(), rand.Reader, key, plain, nil)
}

// scramble is the proof that a way of logging in wants first.
func scramble(plugin, password string, nonce []byte) ([]byte, error) {
	switch {
	case plugin == "mysql_native_password":
		return native(password, nonce), nil
	case plugin == "caching_sha2_password":
		return caching(password, nonce), nil
	}
	return nil, engine.WithHint("give the role for Backstay a password of caching_sha2_password or mysql_native_password", "the server wants %q, which is not spoken", plugin)
}

// native is SHA1(password) XOR SHA1(nonce, SHA1(SHA1(password))).
func native(password string, nonce []byte) []byte {
	if password == "" {
		return nil
	}
	one := sha1.Sum([]byte(password))
	two := sha1.Sum(one[:])
	mix := sha1.Sum(append(append([]byte(nil), nonce...), two[:]...))
	for i := range mix {
		mix[i] ^= one[i]
	}
	return mix[:]
}

// caching is SHA256(password) XOR SHA256(SHA256(SHA256(password)), nonce).
func caching(password string, nonce []byte) []byte {
	if password == "" {
		return nil
	}
	one := sha256.Sum256([]byte(password))
	two := sha256.Sum256(one[:])
	mix := sha256.Sum256(append(two[:], nonce...))
	for i := range mix {
		mix[i] ^= one[i]
	}
	return mix[:]
}
