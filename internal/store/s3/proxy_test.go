package s3_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/backstaydb/backstay/internal/store/s3/s3test"
)

// proxy stands before the server and disturbs what passes.
type proxy struct {
	*httptest.Server
	server *httputil.ReverseProxy

	mu    sync.Mutex
	which func(*http.Request) bool
	how   http.HandlerFunc
	times int // requests still to be disturbed; negative means all
	hits  int // requests that were disturbed
}

// startProxy returns a proxy before the server and the URL of its bucket by way of the proxy.
func startProxy(t *testing.T, server *s3test.Server, bucketURL string) (*proxy, string) {
	t.Helper()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: &httputil.ReverseProxy{
		// The request is signed for the host that the client sees, so that name stays.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	u, err := url.Parse(bucketURL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("endpoint", p.URL)
	q.Set("timeout", "1s")
	u.RawQuery = q.Encode()
	return p, u.String()
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	how := http.HandlerFunc(p.server.ServeHTTP)
	if p.times != 0 && p.which(r) {
		p.times--
		p.hits++
		how = p.how
	}
	p.mu.Unlock()
	how(w, r)
}

// on disturbs the requests that which picks, the first times of them, or all for -1.
func (p *proxy) on(which func(*http.Request) bool, times int, how func(http.ResponseWriter, *http.Request)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.which, p.times, p.how, p.hits = which, times, how, 0
}

func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits
}

// The requests of the protocol that tests pick.
func isPut(r *http.Request) bool {
	return r.Method == http.MethodPut && !r.URL.Query().Has("partNumber")
}
func isPart(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Has("partNumber")
}
func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}
func isGet(r *http.Request) bool {
	return r.Method == http.MethodGet && !r.URL.Query().Has("list-type") && !r.URL.Query().Has("object-lock")
}
func isAny(*http.Request) bool { return true }

// answer gives an S3 error without asking the server.
func answer(status int, code string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>as the test wants</Message></Error>")
		}
	}
}

// hang gives no answer until the client goes.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// lose lets the server do what is asked and hangs up instead of answering.
func (p *proxy) lose(_ http.ResponseWriter, r *http.Request) {
	p.server.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
	panic(http.ErrAbortHandler)
}

// truncate passes on the head of the answer and half of its body, then hangs up.
func (p *proxy) truncate(w http.ResponseWriter, r *http.Request) {
	whole := httptest.NewRecorder()
	p.server.ServeHTTP(whole, r)
	for name, values := range whole.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(whole.Code)
	_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// stall passes on half of the body and then nothing more.
func (p *proxy) stall(w http.ResponseWriter, r *http.Request) {
	whole := httptest.NewRecorder()
	p.server.ServeHTTP(whole, r)
	for name, values := range whole.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(whole.Code)
	_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// isProbe picks the trial of conditional create.
func isProbe(r *http.Request) bool {
	return isPut(r) && strings.HasSuffix(r.URL.Path, "/.backstay-probe")
}
