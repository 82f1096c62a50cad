package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/backstaydb/backstay/internal/store"
)

// Stat implements store.Store.
func (s *Store) Stat(ctx context.Context, name string) (store.Object, error) {
	head, err := s.head(ctx, name)
	if err != nil {
		return store.Object{}, fmt.Errorf("stat %s: %w", name, err)
	}
	return store.Object{Name: name, Size: aws.ToInt64(head.ContentLength), Created: aws.ToTime(head.LastModified)}, nil
}

func (s *Store) head(ctx context.Context, name string) (head *s3.HeadObjectOutput, err error) {
	if err := store.ValidName(name); err != nil {
		return nil, err
	}
	err = s.request(ctx, 0, func(ctx context.Context) error {
		head, err = s.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: s.bucket(), Key: s.key(name)})
		return err
	})
	return head, err
}

// Open implements store.Store.
func (s *Store) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := s.open(ctx, name, offset, length)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return r, nil
}

func (s *Store) open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := errors.Join(store.ValidName(name), store.ValidRange(offset, length)); err != nil {
		return nil, err
	}
	if length == 0 {
		// A range of no bytes cannot be asked for.
		_, err := s.head(ctx, name)
		return http.NoBody, err
	}
	reading, cancel := context.WithCancelCause(ctx)
	silence := time.AfterFunc(s.at.Timeout, func() { cancel(context.DeadlineExceeded) })
	span := byteRange(offset, length)
	out, err := s.api.GetObject(reading, &s3.GetObjectInput{Bucket: s.bucket(), Key: s.key(name), Range: span})
	silence.Stop()
	if err != nil {
		if reading.Err() != nil && ctx.Err() == nil {
			err = context.DeadlineExceeded
		}
		cancel(nil)
		err = explain(ctx, err, s.at.Timeout)
		if code(err) == "InvalidRange" || status(err) == http.StatusRequestedRangeNotSatisfiable {
			return http.NoBody, nil
		}
		return nil, err
	}
	b := &body{outer: ctx, cancel: cancel, silence: silence, timeout: s.at.Timeout, r: out.Body, name: name}
	if span != nil && !strings.HasPrefix(aws.ToString(out.ContentRange), fmt.Sprintf("bytes %d-", offset)) {
		return nil, errors.Join(fmt.Errorf("provider gave range %q for %q", aws.ToString(out.ContentRange), *span), b.Close())
	}
	return b, nil
}

// byteRange is nil for the whole object.
func byteRange(offset, length int64) *string {
	switch {
	case length < 0 && offset == 0:
		return nil
	case length < 0 || offset+length < 0:
		return aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	return aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
}

// body is an object on its way. Each Read has a deadline; the time between Reads is the caller's.
type body struct {
	outer   context.Context // of the Open, which holds for all that is read
	cancel  context.CancelCauseFunc
	silence *time.Timer
	timeout time.Duration
	r       io.ReadCloser
	name    string
}

// Read implements io.Reader. A connection that ends before all has come is io.ErrUnexpectedEOF.
func (b *body) Read(p []byte) (int, error) {
	if b.outer.Err() != nil {
		return 0, fmt.Errorf("read %s: %w", b.name, context.Cause(b.outer))
	}
	b.silence.Reset(b.timeout)
	n, err := b.r.Read(p)
	inTime := b.silence.Stop()
	if err == nil || err == io.EOF {
		return n, err
	}
	if !inTime {
		err = context.DeadlineExceeded
	}
	return n, fmt.Errorf("read %s: %w", b.name, explain(b.outer, err, b.timeout))
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.silence.Stop()
	// First the request ends, so that closing does not wait for what is still to come; what it says then is no news.
	b.cancel(nil)
	_ = b.r.Close()
	return nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, visit func(store.Object) error) error {
	input := &s3.ListObjectsV2Input{Bucket: s.bucket(), Prefix: s.key(prefix)}
	last := ""
	for {
		var page *s3.ListObjectsV2Output
		err := s.request(ctx, 0, func(ctx context.Context) (err error) {
			page, err = s.api.ListObjectsV2(ctx, input)
			return err
		})
		if err != nil {
			return fmt.Errorf("list %q: %w", prefix, err)
		}
		if err := s.visitPage(page.Contents, &last, visit); err != nil {
			return err
		}
		if !aws.ToBool(page.IsTruncated) || page.NextContinuationToken == nil {
			return nil
		}
		input.ContinuationToken = page.NextContinuationToken
	}
}

func (s *Store) visitPage(page []types.Object, last *string, visit func(store.Object) error) error {
	for _, o := range page {
		name, ours := s.name(aws.ToString(o.Key))
		if !ours {
			continue
		}
		if name <= *last {
			return fmt.Errorf("list: provider gives %q after %q, which is no ascending order", name, *last)
		}
		*last = name
		if err := visit(store.Object{Name: name, Size: aws.ToInt64(o.Size), Created: aws.ToTime(o.LastModified)}); err != nil {
			return err
		}
	}
	return nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	err := store.ValidName(name)
	if err == nil {
		err = s.request(ctx, 0, func(ctx context.Context) error {
			_, err := s.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: s.bucket(), Key: s.key(name)})
			return err
		})
	}
	if err != nil && status(err) != http.StatusNotFound {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	if code(err) == "NoSuchBucket" {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}
