package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/retry"
	"github.com/backstaydb/backstay/internal/store/s3"
	"github.com/backstaydb/backstay/internal/store/s3/s3test"
	"github.com/backstaydb/backstay/internal/store/storetest"
)

// large is stored in two parts.
var large = bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)

func disturbed(t *testing.T) (*proxy, store.Store) {
	t.Helper()
	server := s3test.Start(t)
	server.SetEnv(t)
	at := server.Bucket(t, "disturbed", false)
	p, through := startProxy(t, server, at)
	return p, open(t, through)
}

func TestRefusalsAreToldApart(t *testing.T) {
	p, s := disturbed(t)
	for _, c := range []struct {
		status int
		code   string
		is     error
		again  bool
	}{
		{500, "InternalError", nil, true}, {503, "SlowDown", nil, true}, {429, "TooManyRequests", nil, true},
		{403, "AccessDenied", fs.ErrPermission, false}, {404, "NoSuchBucket", nil, false}, {404, "NoSuchKey", fs.ErrNotExist, false},
		{400, "InvalidArgument", nil, false}, {400, "RequestTimeout", nil, true},
	} {
		p.on(isAny, -1, answer(c.status, c.code))
		_, err := s.Open(t.Context(), "object", 0, -1)
		var says interface{ Retryable() bool }
		if c.is == nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want %v", c.code, err, c.is)
		}
		if c.code != "NoSuchKey" && (!errors.As(err, &says) || says.Retryable() != c.again) {
			t.Errorf("%s: retryable should be %v", c.code, c.again)
		}
		if p.count() != 1 {
			t.Errorf("%s: %d requests, want 1", c.code, p.count())
		}
	}
}

func TestSilenceEndsEveryCall(t *testing.T) {
	p, s := disturbed(t)
	p.on(isAny, -1, hang)
	ctx := t.Context()
	for op, call := range map[string]func() error{
		"put":    func() error { return s.Put(ctx, "x", strings.NewReader("x"), 1) },
		"open":   func() error { _, err := s.Open(ctx, "x", 0, -1); return err },
		"stat":   func() error { _, err := s.Stat(ctx, "x"); return err },
		"list":   func() error { return s.List(ctx, "", func(store.Object) error { return nil }) },
		"delete": func() error { return s.Delete(ctx, "x") },
	} {
		began := time.Now()
		if err := call(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want a deadline", op, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s took %v with a timeout of 1s", op, took)
		}
	}
}

func TestBrokenReadsAreNoticed(t *testing.T) {
	p, s := disturbed(t)
	ctx, data := t.Context(), large[:1<<20]
	if err := s.Put(ctx, "object", bytes.NewReader(data), -1); err != nil {
		t.Fatal(err)
	}
	for name, how := range map[string]func(http.ResponseWriter, *http.Request){"truncated": p.truncate, "stalled": p.stall} {
		for _, length := range []int64{-1, 1000} {
			p.on(isGet, 1, how)
			r, err := s.Open(ctx, "object", 10, length)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(r); err == nil || p.count() != 1 {
				t.Errorf("%s: half of %d bytes passed for all", name, length)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		p.on(isGet, 2, how)
		again := retry.New(s, retry.Config{})
		if got, err := store.ReadAll(ctx, again, "object", 1<<20); err != nil || !bytes.Equal(got, data) || p.count() != 2 {
			t.Errorf("%s twice, with retries: %d bytes, %v, %d disturbed", name, len(got), err, p.count())
		}
	}
	// A provider that heeds no ranges must not pass for one that does.
	p.on(isGet, -1, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) })
	if r, err := s.Open(ctx, "object", 10, 5); err == nil {
		_ = r.Close()
		t.Error("an answer without the range asked for was taken")
	}
}

func TestPutsWhoseAnswerIsLost(t *testing.T) {
	p, inner := disturbed(t)
	s, ctx := retry.New(inner, retry.Config{}), t.Context()
	for name, c := range map[string]struct {
		which func(*http.Request) bool
		data  []byte
	}{
		"small": {isPut, []byte("small")}, "part": {isPart, large}, "complete": {isComplete, large},
	} {
		for i, how := range []func(http.ResponseWriter, *http.Request){p.lose, answer(500, "InternalError"), answer(503, "SlowDown")} {
			object := fmt.Sprintf("%s/%d", name, i)
			p.on(c.which, 1, how)
			if err := s.Put(ctx, object, bytes.NewReader(c.data), int64(len(c.data))); err != nil || p.count() != 1 {
				t.Errorf("%s: %v, %d disturbed", object, err, p.count())
				continue
			}
			p.on(isAny, 0, nil)
			if got, err := store.ReadAll(ctx, s, object, int64(len(c.data))); err != nil || !bytes.Equal(got, c.data) {
				t.Errorf("%s: %d bytes, %v", object, len(got), err)
			}
			if err := s.Put(ctx, object, bytes.NewReader(c.data), -1); !errors.Is(err, fs.ErrExist) {
				t.Errorf("%s again: %v, want fs.ErrExist", object, err)
			}
		}
	}
}

func TestALargePutThatFailsLeavesNothing(t *testing.T) {
	server := s3test.Start(t)
	server.SetEnv(t)
	at := server.Bucket(t, "disturbed", false)
	p, through := startProxy(t, server, at)
	s, ctx := open(t, through), t.Context()
	for name, which := range map[string]func(*http.Request) bool{"part": isPart, "complete": isComplete} {
		p.on(which, -1, answer(500, "InternalError"))
		err := s.Put(ctx, name, io.MultiReader(bytes.NewReader(large)), -1)
		var says interface{ Retryable() bool }
		if !errors.As(err, &says) || says.Retryable() || p.count() < 4 {
			t.Errorf("%s: %v after %d tries, want a last error after 4", name, err, p.count())
		}
		if _, err := s.Stat(ctx, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: stat %v, want fs.ErrNotExist", name, err)
		}
		noUploads(t, server, at)
	}
	p.on(isAny, 0, nil)
	if err := s.Put(ctx, "part", bytes.NewReader(large), -1); err != nil {
		t.Errorf("put when the server is well again: %v", err)
	}
}

func TestProvidersWithoutConditionalCreate(t *testing.T) {
	server := s3test.Start(t)
	server.SetEnv(t)
	at := server.Bucket(t, "old", false)
	for name, how := range map[string]func(http.ResponseWriter, *http.Request){
		"refuses": answer(501, "NotImplemented"), "ignores": func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			p, through := startProxy(t, server, below(name, at))
			p.on(isProbe, -1, how)
			s := open(t, through)
			if s.Properties().ConditionalCreate || p.count() == 0 {
				t.Fatalf("conditional create is claimed, after %d trials", p.count())
			}
			p.on(func(r *http.Request) bool { return r.Header.Get("If-None-Match") != "" }, -1, answer(501, "NotImplemented"))
			if err := storetest.Check(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestWhoMayOnlyReadCanOpen(t *testing.T) {
	p, s := disturbed(t)
	if err := s.Put(t.Context(), "object", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	p.on(func(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }, -1, answer(403, "AccessDenied"))
	l, err := s3.ParseURL("s3://disturbed?timeout=5s&endpoint=" + p.URL)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := s3.Open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.ReadAll(t.Context(), reader, "object", 1); err != nil || string(got) != "x" {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := reader.Put(t.Context(), "new", strings.NewReader("x"), 1); !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("put: %v, want fs.ErrPermission", err)
	}
}
