// Package s3 keeps objects in a bucket of AWS S3 or of a server that speaks its protocol.
//
// Create-only is If-None-Match, which the provider checks when an object becomes visible; Open tries whether it does,
// by way of an object named .backstay-probe that it leaves. Where it does not, a look before each Put has to do, and
// Properties tells that there may be only one writer.
//
// Every request has a deadline, longer by what its bytes may take. Requests are not repeated here (package retry does
// that), but for the parts of a large object, whose bytes nobody else could give again, and its completion: an upload
// carries a mark of its own, so that one whose answer was lost is recognised. At most 64 MiB of parts are in memory at a
// time, and besides them small objects, up to 8 MiB each.
//
// Deleting in a bucket with versions leaves a marker; older versions are for the bucket's own lifecycle rules.
// Credentials come from the usual AWS environment and configuration, never from the URL.
package s3

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/store"
)

// minRate is what a request that moves bytes must reach, in bytes/s.
const minRate = 64 << 10

// Store is a store.Store in a bucket. Use Open.
type Store struct {
	api       *s3.Client
	at        Location
	prefix    string // of all keys: empty, or with a slash at its end
	checksum  types.ChecksumAlgorithm
	props     store.Properties
	buffers   chan []byte // for parts; nil until first used
	backoff   backoff.Policy
	sweepOnce sync.Once
}

// Open returns the store at l after it has tried what the provider can do. The store is also a store.Locker if the
// bucket has object lock.
func Open(ctx context.Context, l Location) (store.Store, error) {
	api, err := client(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l, err)
	}
	s := &Store{
		api: api, at: l,
		props:   store.Properties{TipInterval: time.Second},
		buffers: make(chan []byte, partBuffers),
		backoff: backoff.Policy{Min: 200 * time.Millisecond, Max: 5 * time.Second},
	}
	for range partBuffers {
		s.buffers <- nil
	}
	if l.Prefix != "" {
		s.prefix = l.Prefix + "/"
	}
	locking, err := s.probeLock(ctx)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l, err)
	}
	if locking {
		// AWS refuses a Put into a bucket with default retention that has no checksum.
		s.checksum = types.ChecksumAlgorithmCrc32
	}
	if s.props.ConditionalCreate, err = s.probeCreate(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", l, err)
	}
	if locking {
		return Locking{s}, nil
	}
	return s, nil
}

func client(ctx context.Context, l Location) (*s3.Client, error) {
	load := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithHTTPClient(awshttp.NewBuildableClient()),
		config.WithLogger(logging.Nop{}), // It writes to the standard error, past everything; what matters is an error.
		// Checksums that nobody asked for are refused by several S3-compatible providers.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if l.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(l.Profile))
	}
	if l.Region != "" {
		load = append(load, config.WithRegion(l.Region))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, &configError{err}
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	return s3.NewFromConfig(c, func(o *s3.Options) {
		o.UsePathStyle = l.PathStyle
		if l.Endpoint != "" {
			o.BaseEndpoint = aws.String(l.Endpoint)
		}
	}), nil
}

// Properties implements store.Store.
func (s *Store) Properties() store.Properties { return s.props }

// String implements store.Store.
func (s *Store) String() string { return s.at.String() }

func (s *Store) bucket() *string { return &s.at.Bucket }

// key is the name in the bucket.
func (s *Store) key(name string) *string { return aws.String(s.prefix + name) }

// name is the inverse of key; not ok for what stands in the bucket without being one of our objects.
func (s *Store) name(key string) (string, bool) {
	name, ours := strings.CutPrefix(key, s.prefix)
	return name, ours && store.ValidName(name) == nil
}

// request makes one request, which moves size bytes, under a deadline of its own, and explains its error.
func (s *Store) request(ctx context.Context, size int64, send func(context.Context) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	bound := s.at.Timeout + time.Duration(size)*time.Second/minRate
	bounded, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return explain(ctx, send(bounded), bound)
}
