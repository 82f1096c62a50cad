package s3

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/backstaydb/backstay/internal/store"
)

// Locking is a Store in a bucket with object lock. Open returns it where the bucket has that.
type Locking struct{ *Store }

// Lock implements store.Locker, for the version that stands. In compliance mode, the default, nobody can undo it.
func (s Locking) Lock(ctx context.Context, name string, until time.Time) error {
	// The provider keeps whole seconds.
	until = until.UTC().Add(time.Second - 1).Truncate(time.Second)
	stands, err := s.LockedUntil(ctx, name)
	if err != nil {
		return fmt.Errorf("lock %s: %w", name, err)
	}
	if until.Before(stands) {
		return fmt.Errorf("lock %s: stands until %s: %w", name, stands.Format(time.RFC3339), fs.ErrPermission)
	}
	err = s.request(ctx, 0, func(ctx context.Context) error {
		_, err := s.api.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{
			Bucket: s.bucket(), Key: s.key(name), ChecksumAlgorithm: s.checksum,
			Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionMode(s.at.LockMode), RetainUntilDate: &until},
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("lock %s: %w", name, err)
	}
	return nil
}

// LockedUntil implements store.Locker.
func (s Locking) LockedUntil(ctx context.Context, name string) (until time.Time, err error) {
	if err := store.ValidName(name); err != nil {
		return until, fmt.Errorf("read lock of %s: %w", name, err)
	}
	err = s.request(ctx, 0, func(ctx context.Context) error {
		out, err := s.api.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: s.bucket(), Key: s.key(name)})
		if err == nil && out.Retention != nil && out.Retention.RetainUntilDate != nil {
			until = *out.Retention.RetainUntilDate
		}
		return err
	})
	switch {
	case code(err) == "NoSuchObjectLockConfiguration":
		return time.Time{}, nil
	case status(err) == http.StatusMethodNotAllowed:
		// The newest version is a delete marker.
		err = fs.ErrNotExist
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read lock of %s: %w", name, err)
	}
	return until, nil
}
