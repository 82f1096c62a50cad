package pack

import (
	"bytes"
	"context"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
)

// headBytes is how much of an object is asked for to find its header; a header for one recipient has 200 bytes.
const headBytes = 4 << 10

// maxHeader is the longest header that is read: some thousand recipients.
const maxHeader = 1 << 20

// unsealer reads ranges of the plain bytes of one age file. It is safe for concurrent use.
type unsealer struct {
	src   Source
	aead  cipher.AEAD
	head  int64 // bytes before the first chunk
	plain int64 // bytes of plain data
}

// openUnsealer reads the header and finds the key.
func openUnsealer(ctx context.Context, src Source, identities []age.Identity) (*unsealer, error) {
	header, nonce, err := readHeader(ctx, src)
	if err != nil {
		return nil, err
	}
	key, err := age.DecryptHeader(header, identities...)
	if err != nil {
		var noMatch *age.NoIdentityMatchError
		if errors.As(err, &noMatch) || len(identities) == 0 {
			return nil, fmt.Errorf("open %s: %w", src.Name, err)
		}
		return nil, corrupt(src.Name, err, "its age header is damaged")
	}
	if key, err = payloadKey(key, nonce); err != nil {
		return nil, fmt.Errorf("open %s: %w", src.Name, err)
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", src.Name, err)
	}
	u := &unsealer{src: src, aead: aead, head: int64(len(header) + len(nonce))}
	payload := src.Size - u.head
	chunks := (payload + sealedChunk - 1) / sealedChunk
	u.plain = payload - chunks*chacha20poly1305.Overhead
	if payload < chacha20poly1305.Overhead || u.plain > 0 && (u.plain+chunkBytes-1)/chunkBytes != chunks || u.plain <= 0 && chunks != 1 {
		return nil, corrupt(src.Name, nil, "no age file can have %d bytes", src.Size)
	}
	return u, nil
}

// readHeader returns the age header and the nonce behind it.
func readHeader(ctx context.Context, src Source) (header, nonce []byte, err error) {
	for _, n := range []int64{headBytes, maxHeader} {
		n = min(n, src.Size)
		var b []byte
		if b, err = readRange(ctx, src, 0, n); err != nil {
			return nil, nil, err
		}
		header, err = age.ExtractHeader(bytes.NewReader(b))
		if err == nil && len(header)+nonceBytes <= len(b) {
			return header, b[len(header) : len(header)+nonceBytes], nil
		}
		if n == src.Size {
			break
		}
	}
	return nil, nil, corrupt(src.Name, err, "it does not begin with an age header")
}

// readRange reads exactly n bytes of ciphertext from off.
func readRange(ctx context.Context, src Source, off, n int64) ([]byte, error) {
	r, err := src.Open(ctx, off, n)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", src.Name, err)
	}
	defer r.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, readError(src.Name, err, "it ends before its %d bytes", src.Size)
	}
	return b, nil
}

// readError tells an object that is too short from a store that failed.
func readError(object string, err error, format string, args ...any) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt(object, nil, format, args...)
	}
	return fmt.Errorf("read %s: %w", object, err)
}

// open reads n plain bytes from off, with one request.
func (u *unsealer) open(ctx context.Context, off, n int64) (*unsealed, error) {
	if off < 0 || n <= 0 || off+n > u.plain || off+n < off {
		return nil, corrupt(u.src.Name, nil, "bytes %d to %d are asked of a stream of %d", off, off+n, u.plain)
	}
	first, last := off/chunkBytes, (off+n-1)/chunkBytes
	from := u.head + first*sealedChunk
	to := min(u.head+(last+1)*sealedChunk, u.src.Size)
	r, err := u.src.Open(ctx, from, to-from)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", u.src.Name, err)
	}
	return &unsealed{u: u, r: r, next: first, skip: int(off % chunkBytes), rest: n}, nil
}

// unsealed reads plain bytes of an age file in order.
type unsealed struct {
	u      *unsealer
	r      io.ReadCloser
	next   int64 // chunk
	skip   int   // bytes of the first chunk
	rest   int64 // bytes still to be given
	unread []byte
	buf    []byte
	err    error
}

// Read gives plain bytes that were authenticated.
func (r *unsealed) Read(p []byte) (int, error) {
	if r.rest == 0 {
		return 0, io.EOF
	}
	if len(r.unread) == 0 {
		if r.err == nil {
			r.err = r.chunk()
		}
		if r.err != nil {
			return 0, r.err
		}
	}
	n := copy(p, r.unread[:min(int64(len(r.unread)), r.rest)])
	r.unread = r.unread[n:]
	r.rest -= int64(n)
	return n, nil
}

func (r *unsealed) chunk() error {
	u := r.u
	if r.buf == nil {
		r.buf = make([]byte, sealedChunk)
	}
	start := u.head + r.next*sealedChunk
	in := r.buf[:min(sealedChunk, u.src.Size-start)]
	if _, err := io.ReadFull(r.r, in); err != nil {
		return readError(u.src.Name, err, "it ends before its %d bytes", u.src.Size)
	}
	var nonce [chacha20poly1305.NonceSize]byte
	binary.BigEndian.PutUint64(nonce[3:11], uint64(r.next))
	if start+int64(len(in)) == u.src.Size {
		nonce[len(nonce)-1] = 1
	}
	out, err := u.aead.Open(in[:0], nonce[:], in, nil)
	if err != nil {
		return corrupt(u.src.Name, nil, "bytes %d to %d are damaged or were not made with its key", start, start+int64(len(in)))
	}
	r.next++
	r.unread = out[r.skip:]
	r.skip = 0
	return nil
}

// Close ends the request.
func (r *unsealed) Close() error { return r.r.Close() }
