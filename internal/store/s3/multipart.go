package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/backoff"
)

const (
	markName  = "backstay-upload" // metadata by which an upload knows its own object
	uploadAge = 24 * time.Hour    // younger uploads may belong to a process at work
)

// upload is one large object in the making.
type upload struct {
	s    *Store
	name string
	id   *string
	mark string

	mu    sync.Mutex
	parts []types.CompletedPart
}

// putParts stores first, which is a full buffer that it releases, and what is left in r.
func (s *Store) putParts(ctx context.Context, name string, r io.Reader, first []byte) (err error) {
	s.sweepOnce.Do(func() { s.sweep(ctx, time.Now().Add(-uploadAge)) })
	// It is cheaper to know now than after all parts are there.
	err = s.refuseTaken(ctx, name)
	u := &upload{s: s, name: name, mark: rand.Text()}
	if err == nil {
		err = u.begin(ctx)
	}
	if err != nil {
		s.release(first)
		return err
	}
	if err = u.send(ctx, r, first); err == nil {
		err = u.complete(ctx)
	}
	if err != nil {
		return errors.Join(err, u.abort(ctx))
	}
	return nil
}

func (u *upload) begin(ctx context.Context) error {
	return u.s.request(ctx, 0, func(ctx context.Context) error {
		out, err := u.s.api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: u.s.bucket(), Key: u.s.key(u.name), Metadata: map[string]string{markName: u.mark}, ChecksumAlgorithm: u.s.checksum,
		})
		if err == nil {
			u.id = out.UploadId
		}
		return err
	})
}

// send cuts r into parts and uploads some at once, as many as there are buffers.
func (u *upload) send(ctx context.Context, r io.Reader, buffer []byte) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(partBuffers)
	n, last := len(buffer), error(nil)
	for number := int32(1); n > 0; number++ {
		if number > maxParts {
			u.s.release(buffer)
			last = fmt.Errorf("more than %d bytes: %w", maxParts*partSize, fs.ErrInvalid)
			break
		}
		full, size := buffer, n
		group.Go(func() error {
			defer u.s.release(full)
			return u.sendPart(ctx, number, full[:size])
		})
		if n, last = 0, nil; size < partSize {
			break
		}
		if buffer, last = u.s.buffer(ctx); last != nil {
			break
		}
		n, last = io.ReadFull(r, buffer)
		if last == io.EOF || last == io.ErrUnexpectedEOF {
			last = nil
		}
		if last != nil || n == 0 {
			u.s.release(buffer)
			break
		}
	}
	// A part that failed is why the reading stopped, not the other way round.
	if err := group.Wait(); err != nil && (last == nil || errors.Is(last, context.Canceled)) {
		return err
	}
	return last
}

// sendPart uploads one part, several times if need be: only here are its bytes still known.
func (u *upload) sendPart(ctx context.Context, number int32, data []byte) error {
	return u.s.repeat(ctx, func(int) error {
		var out *s3.UploadPartOutput
		err := u.s.request(ctx, int64(len(data)), func(ctx context.Context) (err error) {
			out, err = u.s.api.UploadPart(ctx, &s3.UploadPartInput{
				Bucket: u.s.bucket(), Key: u.s.key(u.name), UploadId: u.id, PartNumber: aws.Int32(number),
				Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))), ChecksumAlgorithm: u.s.checksum,
			})
			return err
		})
		if err != nil {
			return err
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		u.parts = append(u.parts, types.CompletedPart{PartNumber: aws.Int32(number), ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32})
		return nil
	})
}

// complete makes the object visible. After a lost answer the mark tells whose object stands there.
func (u *upload) complete(ctx context.Context) error {
	slices.SortFunc(u.parts, func(a, b types.CompletedPart) int { return int(*a.PartNumber - *b.PartNumber) })
	unsure := false
	return u.s.repeat(ctx, func(int) error {
		err := u.s.lookFirst(ctx, u.name)
		if err == nil {
			err = u.s.request(ctx, 0, func(ctx context.Context) error {
				_, err := u.s.api.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
					Bucket: u.s.bucket(), Key: u.s.key(u.name), UploadId: u.id, IfNoneMatch: u.s.ifNoneMatch(),
					MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
				})
				return err
			})
		}
		if err != nil && (unsure || !errors.Is(err, fs.ErrExist)) && u.isOurs(ctx) {
			return nil
		}
		unsure = true
		return err
	})
}

func (u *upload) isOurs(ctx context.Context) bool {
	head, err := u.s.head(ctx, u.name)
	return err == nil && head.Metadata[markName] == u.mark
}

// abort gives the parts up, also when ctx has ended.
func (u *upload) abort(ctx context.Context) error {
	err := u.s.request(context.WithoutCancel(ctx), 0, func(ctx context.Context) error {
		_, err := u.s.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: u.s.bucket(), Key: u.s.key(u.name), UploadId: u.id})
		return err
	})
	if err == nil || code(err) == "NoSuchUpload" {
		return nil
	}
	return fmt.Errorf("give up parts: %s", err) // Not wrapped: what it is says nothing of the Put.
}

// sweep gives up what crashed processes left below our prefix. Who has no right to must have a lifecycle rule.
func (s *Store) sweep(ctx context.Context, before time.Time) {
	var left []types.MultipartUpload
	_ = s.request(ctx, 0, func(ctx context.Context) error {
		out, err := s.api.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: s.bucket(), Prefix: s.key("")})
		if err == nil {
			left = out.Uploads
		}
		return err
	})
	for _, l := range left {
		if name, ours := s.name(aws.ToString(l.Key)); ours && aws.ToTime(l.Initiated).Before(before) {
			_ = (&upload{s: s, name: name, id: l.UploadId}).abort(ctx)
		}
	}
}

// repeat makes a request until it works, a bounded number of times. Its last error is one that nobody else repeats.
func (s *Store) repeat(ctx context.Context, try func(attempt int) error) error {
	for attempt := 1; ; attempt++ {
		err := try(attempt)
		var says interface{ Retryable() bool }
		if err == nil || ctx.Err() != nil || errors.Is(err, fs.ErrExist) || errors.As(err, &says) && !says.Retryable() {
			return err
		}
		if attempt == attempts {
			return &spentError{err, attempt}
		}
		if err := backoff.Sleep(ctx, s.backoff.Delay(attempt, nil)); err != nil {
			return err
		}
	}
}

// spentError is a request that was repeated to no avail.
type spentError struct {
	err      error
	attempts int
}

func (e *spentError) Error() string   { return fmt.Sprintf("%v (after %d attempts)", e.err, e.attempts) }
func (e *spentError) Unwrap() error   { return e.err }
func (e *spentError) Retryable() bool { return false }
