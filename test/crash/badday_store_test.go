package crash

import (
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/store/s3/s3test"
)

// TestStoreOnBadDays protects into a folder and into S3 at once. S3 dies, hangs, answers 500, cuts its answers short
// and becomes slow, one after the other; meanwhile the folder keeps its lag, and afterwards both hold everything.
func TestStoreOnBadDays(t *testing.T) {
	server := s3test.Start(t)
	server.SetEnv(t)
	bad := newBadProxy(t, server.Endpoint)
	s := newShop(t, "wal", 50)
	bucket := strings.Replace(server.Bucket(t, "badday", false), url.QueryEscape(server.Endpoint), url.QueryEscape("http://"+bad.address), 1)
	s.file("backstay.yaml", "repositories:\n  local: { store: ./repo }\n  cloud: { store: \""+bucket+"\" }\n"+
		"sources:\n  app: { url: \"sqlite:./app.db\", repositories: [local, cloud] }\n")
	s.begin()
	s.caughtUp("cloud")
	for _, day := range []string{"refuse", "hang", "500", "truncate", "slow"} {
		bad.be(day)
		if day == "truncate" { // A daemon reads when it begins, not while all is well.
			s.kill(s.agent)
			s.protect()
			s.caughtUp("local")
		}
		s.lagStays("local", 2, 4*time.Second)
		if day == "refuse" || day == "500" {
			s.failing("cloud", "")
		}
		bad.be("well")
		s.caughtUp("cloud")
	}
	bad.be("refuse")
	s.kill(s.agent)
	s.protect() // A store that is dead at the start is waited for too.
	s.caughtUp("local")
	s.lagStays("local", 2, 3*time.Second)
	bad.be("well")
	s.caughtUp("cloud")
	s.rest()
	s.caughtUp("cloud")
	s.protected()
	s.stop()
	s.holdsAll()
	s.check()
	s.run("check", "app", "--store", bucket)
	all := s.ledger()
	s.run("restore", "app", "--store", bucket, "--key", "backstay.key", "--into", "from-cloud")
	if got, want := s.orders(s.path("from-cloud/app.db")), all[len(all)-1].n; got != want {
		t.Errorf("S3 holds %d orders, %d were committed", got, want)
	}
	bad.be("refuse")
	s.refused(exitStore, "store check", "check", "app", "--store", bucket)
	s.refused(exitStore, "store check", "restore", "app", "--store", bucket, "--key", "backstay.key", "--into", "no")
	s.run("restore", "app", "--into", "from-either")
	if got, want := s.orders(s.path("from-either/app.db")), all[len(all)-1].n; got != want {
		t.Errorf("with S3 dead %d orders were restored, %d were committed", got, want)
	}
}

// lag is that of one repository in seconds, large while it is not known.
func (s *shop) lag(repository string) float64 {
	s.t.Helper()
	st, ok := s.status()
	for _, r := range st.Repositories {
		if ok && r.Name == repository && r.Bases > 0 {
			return r.LagSeconds
		}
	}
	return 1e9
}

// lagStays demands that the lag of a repository stays below limit, in seconds.
func (s *shop) lagStays(repository string, limit float64, during time.Duration) {
	s.t.Helper()
	s.until(30*time.Second, repository+" is written", func() bool { return s.lag(repository) < limit })
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if lag := s.lag(repository); lag >= limit {
			s.t.Errorf("%s lags %.1f s behind while another repository is ill", repository, lag)
		}
	}
}

// caughtUp waits until a repository is well and has all that was committed by now.
func (s *shop) caughtUp(repository string) {
	s.t.Helper()
	now := time.Now()
	s.until(150*time.Second, repository+" has caught up", func() bool {
		st, _ := s.status()
		for _, r := range st.Repositories {
			if r.Name == repository {
				return r.Error == "" && r.Bases > 0 && r.DurableTime.After(now)
			}
		}
		return false
	})
}

// badProxy stands before an S3 server and behaves as it is told.
type badProxy struct {
	t       *testing.T
	address string
	forward *httputil.ReverseProxy

	mu     sync.Mutex
	mood   string
	change chan struct{} // closed when the mood changes
	server *http.Server
}

func newBadProxy(t *testing.T, endpoint string) *badProxy {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &badProxy{t: t, address: "127.0.0.1:0", change: make(chan struct{})}
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // The signature covers it.
		},
		ModifyResponse: p.truncate,
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	p.be("well")
	t.Cleanup(func() { p.be("refuse") })
	return p
}

// be changes the mood: well, refuse, hang, 500, truncate or slow.
func (p *badProxy) be(mood string) {
	p.t.Helper()
	p.mu.Lock()
	p.mood = mood
	close(p.change)
	p.change = make(chan struct{})
	server := p.server
	p.mu.Unlock()
	switch {
	case mood == "refuse" && server != nil:
		server.Close()
		server = nil
	case mood != "refuse" && server == nil:
		listener, err := net.Listen("tcp", p.address)
		if err != nil {
			p.t.Fatal(err)
		}
		p.address = listener.Addr().String()
		server = &http.Server{Handler: p}
		go server.Serve(listener)
	}
	p.mu.Lock()
	p.server = server
	p.mu.Unlock()
}

func (p *badProxy) now() (string, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mood, p.change
}

// ServeHTTP implements http.Handler.
func (p *badProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mood, change := p.now()
	switch mood {
	case "hang":
		select {
		case <-change:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case "500":
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusInternalServerError)
		return
	case "slow":
		time.Sleep(400 * time.Millisecond)
	}
	p.forward.ServeHTTP(w, r)
}

// truncate announces all of a body and sends half of it.
func (p *badProxy) truncate(r *http.Response) error {
	mood, _ := p.now()
	if mood != "truncate" || r.Request.Method != http.MethodGet || r.ContentLength < 2 {
		return nil
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r.Body, r.ContentLength/2), r.Body}
	r.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	return nil
}

// TestRepositoryAlteredWhileRunning edits and deletes objects under a running daemon: check names the damage, the daemon
// goes on, and what is damaged is not restored as if it were whole.
func TestRepositoryAlteredWhileRunning(t *testing.T) {
	s := newShop(t, "wal", 100)
	s.begin()
	s.protected()
	bases := s.objects(s.path("repo"))["pack"]
	if len(bases) == 0 {
		t.Fatalf("the repository holds no pack: %v", s.objects(s.path("repo")))
	}
	b := read(t, s.path("repo"), bases[0])
	good := append([]byte(nil), b...)
	b[len(b)/2] ^= 1
	put(t, s.path("repo"), bases[0], b)
	s.refused(exitDamage, bases[0], "check", "app")
	if code, out := s.exit("restore", "app", "--into", "new"); code != exitDamage {
		t.Errorf("restore of a damaged base ended with %d\n%s", code, out)
	}
	if _, err := os.Stat(s.path("new")); err == nil {
		t.Error("the restore that failed left its folder behind")
	}
	s.protected()
	put(t, s.path("repo"), bases[0], good)
	s.whole()
}

const exitStore = 11
