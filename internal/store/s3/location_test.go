package s3_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/s3"
)

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]s3.Location{
		"s3://bucket":                                 {Bucket: "bucket"},
		"s3://bucket/":                                {Bucket: "bucket"},
		"s3://my.bucket/a/b/":                         {Bucket: "my.bucket", Prefix: "a/b"},
		"s3://bucket?region=eu-west-1":                {Bucket: "bucket", Region: "eu-west-1"},
		"s3://bucket/p?profile=backup":                {Bucket: "bucket", Prefix: "p", Profile: "backup"},
		"s3://bucket?path_style=true":                 {Bucket: "bucket", PathStyle: true},
		"s3://bucket?endpoint=http://h:7070":          {Bucket: "bucket", Endpoint: "http://h:7070", PathStyle: true},
		"s3://bucket?endpoint=https://h/":             {Bucket: "bucket", Endpoint: "https://h", PathStyle: true},
		"s3://bucket?lock_mode=governance":            {Bucket: "bucket", LockMode: "GOVERNANCE"},
		"s3://bucket?timeout=5s":                      {Bucket: "bucket", Timeout: 5 * time.Second},
		"s3://b-1?endpoint=http://h&path_style=false": {Bucket: "b-1", Endpoint: "http://h"},
	} {
		if want.LockMode == "" {
			want.LockMode = "COMPLIANCE"
		}
		if want.Timeout == 0 {
			want.Timeout = 30 * time.Second
		}
		got, err := s3.ParseURL(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", raw, diff)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for raw, want := range map[string]string{
		"./folder":                               "s3://bucket/prefix",
		"s3:bucket":                              "s3://bucket/prefix",
		"s3://":                                  "bucket name",
		"s3://Bucket":                            "bucket name",
		"s3://bucket/a b":                        "prefix",
		"s3://bucket/../x":                       "prefix",
		"s3://bucket?colour=red":                 `"colour"`,
		"s3://bucket?region=":                    "needs one value",
		"s3://bucket?region=a&region=b":          "needs one value",
		"s3://bucket?endpoint=h:7070":            "endpoint",
		"s3://bucket?endpoint=http://h/path":     "endpoint",
		"s3://bucket?path_style=maybe":           "path_style",
		"s3://bucket?timeout=1ms":                "timeout",
		"s3://bucket?lock_mode=none":             "lock_mode",
		"s3://bucket?a=%zz":                      "cannot be read",
		"s3://AKIA:SECRET@bucket":                "credentials",
		"s3://bucket?access_key_id=SECRET":       "credentials",
		"s3://bucket?secret=SECRET":              "credentials",
		"s3://bucket?endpoint=http://a:SECRET@h": "credentials",
		"s3://AKIA:SEC%RET@bucket":               "not a URL",
		"s3://bucket?session_token=SECRET&x=y":   "",
	} {
		_, err := s3.ParseURL(raw)
		var h interface{ Hint() string }
		switch {
		case err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%s: got %v, want %q in it", raw, err, want)
		case !errors.As(err, &h) || h.Hint() == "":
			t.Errorf("%s: %v has no hint", raw, err)
		case strings.Contains(err.Error(), "SECRET"):
			t.Errorf("%s: %v repeats a secret", raw, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"s3://bucket/prefix?endpoint=http://127.0.0.1:7070&region=r&path_style=true&profile=p", "s3://u:p@b", "s3://", "s3://b?x=%", "", "s3://bucket/%2e%2e/x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		l, err := s3.ParseURL(raw)
		if err != nil {
			return
		}
		if l.Bucket == "" || strings.ContainsAny(l.Bucket, "/@:?") || l.Prefix != "" && store.ValidName(l.Prefix) != nil || strings.Contains(l.Endpoint, "@") || l.Timeout <= 0 {
			t.Fatalf("%q gives %+v", raw, l)
		}
		again, err := s3.ParseURL(l.String())
		if err != nil || again.Bucket != l.Bucket || again.Prefix != l.Prefix {
			t.Fatalf("%q prints as %q, which reads as %+v, %v", raw, l, again, err)
		}
	})
}
