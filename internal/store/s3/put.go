package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/store"
)

const (
	singleSize  = 8 << 20  // an object up to here goes in one request, in bytes
	partSize    = 16 << 20 // a larger one in parts of this size, in bytes
	partBuffers = 4        // parts in memory, of all Puts together
	maxParts    = 10_000   // of one object, by the protocol
	attempts    = 4        // of requests that are repeated here
)

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := s.put(ctx, name, r, size); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := store.ValidName(name); err != nil {
		return err
	}
	if size > maxParts*partSize {
		return fmt.Errorf("%d bytes are more than one object can have here, %d: %w", size, maxParts*partSize, fs.ErrInvalid)
	}
	in := store.Input(ctx, r, size)
	if size >= 0 && size <= singleSize {
		// Small objects do not wait for the buffers that slow large ones hold.
		data := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
		if _, err := data.ReadFrom(in); err != nil {
			return err
		}
		return s.putSingle(ctx, name, data.Bytes())
	}
	first, err := s.buffer(ctx)
	if err != nil {
		return err
	}
	n, err := io.ReadFull(in, first)
	if err == nil {
		return s.putParts(ctx, name, in, first)
	}
	defer s.release(first)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return s.putSingle(ctx, name, first[:n])
	}
	return err
}

// putSingle stores data in one request.
func (s *Store) putSingle(ctx context.Context, name string, data []byte) error {
	if err := s.lookFirst(ctx, name); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		err := s.request(ctx, int64(len(data)), func(ctx context.Context) error {
			_, err := s.api.PutObject(ctx, &s3.PutObjectInput{
				Bucket: s.bucket(), Key: s.key(name), Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
				IfNoneMatch: s.ifNoneMatch(), ChecksumAlgorithm: s.checksum,
			})
			return err
		})
		// Another Put of the name is under way; whether it wins is not known yet. This one did not, for sure.
		if code(err) != "ConditionalRequestConflict" || attempt == attempts {
			return err
		}
		if err := backoff.Sleep(ctx, s.backoff.Delay(attempt, nil)); err != nil {
			return err
		}
	}
}

// lookFirst refuses a taken name where the provider will not.
func (s *Store) lookFirst(ctx context.Context, name string) error {
	if s.props.ConditionalCreate {
		return nil
	}
	return s.refuseTaken(ctx, name)
}

func (s *Store) refuseTaken(ctx context.Context, name string) error {
	_, err := s.head(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = fs.ErrExist
	}
	return err
}

func (s *Store) ifNoneMatch() *string {
	if s.props.ConditionalCreate {
		return aws.String("*")
	}
	return nil
}

// buffer waits for room for one part.
func (s *Store) buffer(ctx context.Context) ([]byte, error) {
	select {
	case b := <-s.buffers:
		if b == nil {
			b = make([]byte, partSize)
		}
		return b[:partSize], nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *Store) release(b []byte) { s.buffers <- b }
