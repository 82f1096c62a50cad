package post_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/post"
)

func TestAnswered(t *testing.T) {
	for _, c := range []struct {
		status    int
		retry     string
		fails     bool
		permanent bool
		wait      time.Duration
	}{
		{200, "", false, false, 0},
		{204, "", false, false, 0},
		{302, "", true, true, 0},
		{401, "", true, true, 0},
		{408, "", true, false, 0},
		{429, "30", true, false, 30 * time.Second},
		{429, "-1", true, false, 0},
		{503, "Wed, 21 Oct 2026 07:28:00 GMT", true, false, 0},
		{999, "", true, false, 0},
	} {
		err := post.Answered(c.status, c.retry)
		var f *notify.Failure
		if errors.As(err, &f) != c.fails || f != nil && (f.Permanent != c.permanent || f.Wait != c.wait) {
			t.Errorf("%d, retry %q: %#v", c.status, c.retry, err)
		}
	}
}

// Each kind of failure is named, so that a person knows where to look, and none names the address.
func TestFailuresAreNamed(t *testing.T) {
	strange := httptest.NewUnstartedServer(http.NotFoundHandler())
	strange.Config.ErrorLog = log.New(io.Discard, "", 0)
	strange.StartTLS()
	defer strange.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for _, c := range []struct{ address, want string }{
		{strange.URL, "certificate"},
		{strings.Replace(plain.URL, "http:", "https:", 1), "does not speak TLS"},
		{"http://" + closed.Addr().String(), "refused"},
		{"http://planted.invalid", "host name"},
		{"http://%zz", "no URL"},
		{plain.URL, "404 Not Found"},
	} {
		err := post.Do(t.Context(), http.MethodPost, c.address+"/PLANTED?key=PLANTED", nil, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(strings.ToLower(err.Error()), "planted") || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: %v, want %q", c.address, err, c.want)
		}
	}
	if f := post.Failed(context.DeadlineExceeded); !strings.Contains(f.Reason, "in time") {
		t.Errorf("deadline: %v", f)
	}
	if f := post.Failed(errors.New("PLANTED")); f.Reason != post.Unknown {
		t.Errorf("unknown: %v", f)
	}
}
