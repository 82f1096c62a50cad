package s3

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/backstaydb/backstay/internal/store/s3/s3test"
)

func TestUploadsOfCrashedProcessesAreGivenUp(t *testing.T) {
	server := s3test.Start(t)
	server.SetEnv(t)
	l, err := ParseURL(server.Bucket(t, "left", false))
	if err != nil {
		t.Fatal(err)
	}
	l.Prefix = "ours"
	opened, err := Open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	s, ctx := opened.(*Store), t.Context()
	for _, key := range []string{"ours/pack", "theirs/pack"} {
		_, err := server.Client().CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &l.Bucket, Key: aws.String(key)})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		before time.Time
		left   int
	}{{time.Now().Add(-time.Hour), 2}, {time.Now().Add(time.Hour), 1}} {
		s.sweep(ctx, c.before)
		out, err := server.Client().ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &l.Bucket})
		if err != nil || len(out.Uploads) != c.left {
			t.Fatalf("uploads left: %d, %v; want %d", len(out.Uploads), err, c.left)
		}
	}
}
