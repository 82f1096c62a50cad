package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// probeName begins with a dot: it is no object's name, and no listing shows it.
const probeName = ".backstay-probe"

// probeCreate tells whether the provider heeds If-None-Match: from the second Put of one name at the latest it must
// refuse. Who may only read learns no answer, and needs none.
func (s *Store) probeCreate(ctx context.Context) (bool, error) {
	for range 2 {
		err := s.putProbe(ctx)
		switch {
		case errors.Is(err, fs.ErrExist):
			return true, nil
		case status(err) == http.StatusNotImplemented || status(err) == http.StatusBadRequest && code(err) != "":
			return false, nil
		case code(err) == "AccessDenied" || status(err) == http.StatusMethodNotAllowed:
			return false, s.probeRead(ctx)
		case err != nil:
			return false, fmt.Errorf("try conditional create: %w", err)
		}
	}
	return false, nil
}

func (s *Store) putProbe(ctx context.Context) error {
	return s.request(ctx, 0, func(ctx context.Context) error {
		_, err := s.api.PutObject(ctx, &s3.PutObjectInput{
			Bucket: s.bucket(), Key: s.key(probeName), Body: bytes.NewReader(nil), ContentLength: aws.Int64(0),
			IfNoneMatch: aws.String("*"), ChecksumAlgorithm: s.checksum,
		})
		return err
	})
}

// probeRead fails unless the bucket can at least be listed.
func (s *Store) probeRead(ctx context.Context) error {
	return s.request(ctx, 0, func(ctx context.Context) error {
		_, err := s.api.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: s.bucket(), Prefix: s.key(""), MaxKeys: aws.Int32(1)})
		return err
	})
}

// probeLock tells whether the bucket has object lock. Whatever refusal the provider has for a bucket without, or for a
// person without the right to know, means no.
func (s *Store) probeLock(ctx context.Context) (bool, error) {
	enabled := false
	err := s.request(ctx, 0, func(ctx context.Context) error {
		out, err := s.api.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: s.bucket()})
		enabled = err == nil && out.ObjectLockConfiguration != nil &&
			out.ObjectLockConfiguration.ObjectLockEnabled == types.ObjectLockEnabledEnabled
		return err
	})
	switch refused := status(err); {
	case code(err) == "NoSuchBucket", code(err) == "InvalidAccessKeyId", code(err) == "SignatureDoesNotMatch":
		return false, err
	case refused >= 400 && refused < 500 || refused == http.StatusNotImplemented:
		return false, nil
	}
	return enabled, err
}
