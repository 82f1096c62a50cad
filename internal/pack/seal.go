package pack

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/backstaydb/backstay/internal/directio"
)

// The payload of an age file (age-encryption.org/v1, "Payload"): chunks of 64 KiB, each with its own tag, the nonce
// counting them and marking the last.
const (
	chunkBytes  = 64 << 10
	sealedChunk = chunkBytes + chacha20poly1305.Overhead
	nonceBytes  = 16
)

// sealBuffer is how much ciphertext is digested and written at once: whole aligned blocks, so that a file writer can
// pass them on without a copy.
const sealBuffer = 1 << 20

var sealBuffers = sync.Pool{New: func() any { b := directio.Block(sealBuffer); return &b }}

// sealer is an age file in the making. It counts and digests the ciphertext and encrypts what is written to it. The
// age package makes the header; the chunks are sealed here, straight from the caller's memory into what is written.
type sealer struct {
	w     io.Writer
	aead  cipher.AEAD
	nonce [chacha20poly1305.NonceSize]byte
	sum   hash.Hash
	plain int64 // bytes written to it
	size  int64 // bytes of ciphertext

	chunk []byte // plain bytes that no chunk was made of yet; at most chunkBytes
	spill []byte // room for a chunk that does not fit in out as a whole
	out   *[]byte
	used  int

	queue  chan sealedOut // to the goroutine that digests and writes; nil until there is enough to be worth one
	result chan error
}

type sealedOut struct {
	buf  *[]byte
	used int
}

// newSealer begins an age file for the recipients on w.
func newSealer(w io.Writer, recipients []age.Recipient) (*sealer, error) {
	header, key, err := newHeader(recipients)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, fmt.Errorf("begin age file: %w", err)
	}
	s := &sealer{w: w, aead: aead, sum: sha256.New(), out: sealBuffers.Get().(*[]byte)}
	return s, s.put(header)
}

// newHeader lets age make a header and returns it with the nonce behind it, and the key of the payload.
func newHeader(recipients []age.Recipient) (header, key []byte, err error) {
	if len(recipients) == 0 {
		return nil, nil, errors.New("begin age file: no recipient is given")
	}
	caught := &fileKey{Recipient: recipients[0]}
	all := append([]age.Recipient{caught}, recipients[1:]...)
	var buf bytes.Buffer
	if _, err := age.Encrypt(&buf, all...); err != nil {
		return nil, nil, fmt.Errorf("begin age file: %w", err)
	}
	header = buf.Bytes()
	key, err = payloadKey(caught.key, header[len(header)-nonceBytes:])
	return header, key, err
}

func payloadKey(fileKey, nonce []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, fileKey, nonce, "payload", chacha20poly1305.KeySize)
}

// fileKey is a recipient that remembers the file key that age wrapped for it.
type fileKey struct {
	age.Recipient
	key []byte
}

// WrapWithLabels keeps the labels of recipients that have some (post-quantum ones do).
func (f *fileKey) WrapWithLabels(key []byte) ([]*age.Stanza, []string, error) {
	f.key = bytes.Clone(key)
	if r, ok := f.Recipient.(age.RecipientWithLabels); ok {
		return r.WrapWithLabels(key)
	}
	stanzas, err := f.Recipient.Wrap(key)
	return stanzas, nil, err
}

// Write encrypts p.
func (s *sealer) Write(p []byte) (int, error) {
	total := len(p)
	s.plain += int64(total)
	for len(p) > 0 {
		// A full chunk is sealed only when a byte follows it, since the last chunk is marked.
		if len(s.chunk) == chunkBytes {
			if err := s.seal(s.chunk, false); err != nil {
				return 0, err
			}
			s.chunk = s.chunk[:0]
		}
		if len(s.chunk) == 0 && len(p) > chunkBytes {
			if err := s.seal(p[:chunkBytes], false); err != nil {
				return 0, err
			}
			p = p[chunkBytes:]
			continue
		}
		if s.chunk == nil {
			s.chunk = make([]byte, 0, chunkBytes)
		}
		n := min(chunkBytes-len(s.chunk), len(p))
		s.chunk = append(s.chunk, p[:n]...)
		p = p[n:]
	}
	return total, nil
}

// seal encrypts one chunk into out.
func (s *sealer) seal(p []byte, last bool) error {
	if last {
		s.nonce[len(s.nonce)-1] = 1
	}
	need := len(p) + chacha20poly1305.Overhead
	var err error
	if room := (*s.out)[s.used:]; len(room) >= need {
		s.aead.Seal(room[:0:need], s.nonce[:], p, nil)
		s.used += need
		s.size += int64(need)
		err = s.pass()
	} else {
		s.spill = s.aead.Seal(s.spill[:0], s.nonce[:], p, nil)
		err = s.put(s.spill)
	}
	counter := s.nonce[3:11]
	binary.BigEndian.PutUint64(counter, binary.BigEndian.Uint64(counter)+1)
	return err
}

// put appends ciphertext to out.
func (s *sealer) put(p []byte) error {
	s.size += int64(len(p))
	for len(p) > 0 {
		n := copy((*s.out)[s.used:], p)
		s.used += n
		p = p[n:]
		if err := s.pass(); err != nil {
			return err
		}
	}
	return nil
}

// pass hands a full out to the goroutine that digests and writes, which it starts the first time.
func (s *sealer) pass() error {
	if s.used < sealBuffer {
		return nil
	}
	if s.queue == nil {
		queue, result := make(chan sealedOut, 2), make(chan error, 1)
		go func() { result <- s.drain(queue) }()
		s.queue, s.result = queue, result
	}
	select {
	case s.queue <- sealedOut{s.out, s.used}:
	case err := <-s.result: // drain ended early: it failed
		s.result <- err
		return err
	}
	s.out, s.used = sealBuffers.Get().(*[]byte), 0
	return nil
}

func (s *sealer) drain(queue <-chan sealedOut) error {
	for o := range queue {
		if err := s.emit(o); err != nil {
			return err
		}
	}
	return nil
}

func (s *sealer) emit(o sealedOut) error {
	defer sealBuffers.Put(o.buf)
	p := (*o.buf)[:o.used]
	s.sum.Write(p)
	_, err := s.w.Write(p)
	return err
}

// finish seals the last chunk and writes all. It does not close w.
func (s *sealer) finish() error {
	err := s.seal(s.chunk, true)
	if wait := s.stop(); err == nil {
		err = wait
	}
	if err != nil {
		return err
	}
	o := sealedOut{s.out, s.used}
	s.out = nil
	return s.emit(o)
}

// stop ends the goroutine, if there is one; a sealer that was not finished must be stopped.
func (s *sealer) stop() error {
	if s.queue == nil {
		return nil
	}
	close(s.queue)
	s.queue = nil
	return <-s.result
}

// digest is the SHA-256 of the ciphertext, after finish.
func (s *sealer) digest() string { return hex.EncodeToString(s.sum.Sum(nil)) }
