package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/s3"
	"github.com/backstaydb/backstay/internal/store/s3/s3test"
	"github.com/backstaydb/backstay/internal/store/storetest"
)

func open(t *testing.T, storeURL string) store.Store {
	t.Helper()
	l, err := s3.ParseURL(storeURL)
	if err != nil {
		t.Fatal(err)
	}
	s, err := s3.Open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// below puts a prefix into a store URL.
func below(prefix, storeURL string) string {
	return strings.Replace(storeURL, "?", "/"+prefix+"?", 1)
}

func TestContract(t *testing.T) {
	server := s3test.Start(t)
	server.SetEnv(t)
	plain, locking := server.Bucket(t, "plain", false), server.Bucket(t, "locking", true)
	for name, at := range map[string]string{"bucket": plain, "prefix": below("deep/prefix", plain), "object lock": below("app", locking)} {
		t.Run(name, func(t *testing.T) {
			s := open(t, at)
			_, isLocker := s.(store.Locker)
			if !s.Properties().ConditionalCreate || isLocker != (name == "object lock") {
				t.Fatalf("conditional create %v, locker %v", s.Properties().ConditionalCreate, isLocker)
			}
			err := storetest.Each(t.Context(), s, func(r storetest.Result) { t.Logf("%6d ms %s: %v", r.Took.Milliseconds(), r.Step.Name, r.Err) })
			if err != nil {
				t.Fatal(err)
			}
			if err := s.List(t.Context(), "", func(o store.Object) error { return fmt.Errorf("%s was left", o.Name) }); err != nil {
				t.Fatal(err)
			}
			noUploads(t, server, at)
		})
	}
}

// noUploads fails if parts of an unfinished object were left: they cost money and no listing shows them.
func noUploads(t *testing.T, server *s3test.Server, at string) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.Client().ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: &u.Host})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Uploads) != 0 {
		t.Fatalf("%d uploads were left", len(out.Uploads))
	}
}

func TestLockedVersionsCannotBeRemoved(t *testing.T) {
	server := s3test.Start(t)
	server.SetEnv(t)
	s, ctx := open(t, server.Bucket(t, "locking", true)), t.Context()
	if err := s.Put(ctx, "object", strings.NewReader("kept"), 4); err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Hour)
	if err := s.(store.Locker).Lock(ctx, "object", until); err != nil {
		t.Fatal(err)
	}
	if err := s.(store.Locker).Lock(ctx, "object", until.Add(-time.Minute)); !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("a shorter lock: %v, want fs.ErrPermission", err)
	}
	if err := s.(store.Locker).Lock(ctx, "absent", until); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a lock on nothing: %v, want fs.ErrNotExist", err)
	}
	if err := s.Delete(ctx, "object"); err != nil {
		t.Fatal(err)
	}
	bucket, key := "locking", "object"
	versions, err := server.Client().ListObjectVersions(ctx, &awss3.ListObjectVersionsInput{Bucket: &bucket, Prefix: &key})
	if err != nil || len(versions.Versions) != 1 {
		t.Fatalf("versions after delete: %+v, %v", versions, err)
	}
	_, err = server.Client().DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &bucket, Key: &key, VersionId: versions.Versions[0].VersionId})
	if err == nil {
		t.Fatal("the server deleted a locked version")
	}
	if _, err := s.(store.Locker).LockedUntil(ctx, "object"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("lock of a deleted object: %v, want fs.ErrNotExist", err)
	}
}

func TestListingsOfManyPages(t *testing.T) {
	server := s3test.Start(t)
	server.SetEnv(t)
	s, ctx := open(t, below("many", server.Bucket(t, "plain", false))), t.Context()
	const objects = 1100 // A page has 1000.
	for i := range objects {
		if err := s.Put(ctx, fmt.Sprintf("log/%06d", i), bytes.NewReader(nil), 0); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	err := s.List(ctx, "log/", func(o store.Object) error {
		if want := fmt.Sprintf("log/%06d", seen); o.Name != want {
			return fmt.Errorf("got %s, want %s", o.Name, want)
		}
		seen++
		return nil
	})
	if err != nil || seen != objects {
		t.Fatalf("listed %d, %v", seen, err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	server := s3test.Start(t)
	server.SetEnv(t)
	there := server.Bucket(t, "plain", false)
	for name, c := range map[string]struct {
		at, secret, want, hint string
	}{
		"no bucket":    {strings.Replace(there, "plain", "absent", 1), "", "NoSuchBucket", "create the bucket"},
		"wrong secret": {there, "wrong", "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"},
		"no server":    {"s3://plain?timeout=2s&endpoint=" + url.QueryEscape("http://127.0.0.1:1"), "", "refused", ""},
		"no profile":   {there + "&profile=absent", "", "absent", "~/.aws/config"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.secret != "" {
				t.Setenv("AWS_SECRET_ACCESS_KEY", c.secret)
			}
			l, err := s3.ParseURL(c.at)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s3.Open(t.Context(), l)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q in it", err, c.want)
			}
			var h interface{ Hint() string }
			if c.hint != "" && (!errors.As(err, &h) || !strings.Contains(h.Hint(), c.hint)) {
				t.Fatalf("error %v has no hint with %q", err, c.hint)
			}
			if errors.Is(err, fs.ErrNotExist) {
				t.Fatal("a bucket that cannot be opened looks like an object that is not there")
			}
		})
	}
}

func TestCancelledOpenEnds(t *testing.T) {
	l, err := s3.ParseURL("s3://bucket?endpoint=" + url.QueryEscape("http://127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s3.Open(ctx, l); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}
