package notifytest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Far is the other side of senders that speak HTTP.
type Far struct {
	*httptest.Server
	Answer string                               // the body of an answer that says yes
	Check  func(*http.Request, []byte) error    // says what is wrong with a request, which is then refused; nil means nothing is
	Render func(h http.Header, b []byte) string // what was taken, for Taken; nil means the body

	mu      sync.Mutex
	mode    Mode
	taken   []string
	release chan struct{}
}

// NewFar starts one on loopback. Close ends it.
func NewFar() *Far {
	f := &Far{Answer: "ok", release: make(chan struct{})}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	return f
}

// Close lets go of requests that hang and ends the server.
func (f *Far) Close() {
	f.Set(Drops)
	f.Server.CloseClientConnections()
	f.Server.Close()
}

// Set sets how f behaves from now on, and lets go of requests that hang.
func (f *Far) Set(mode Mode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mode = mode
	close(f.release)
	f.release = make(chan struct{})
}

// Taken returns what f took.
func (f *Far) Taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.taken...)
}

func (f *Far) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	mode, release := f.mode, f.release
	f.mu.Unlock()
	switch mode {
	case Busy:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case Refuses:
		w.WriteHeader(http.StatusUnauthorized)
		return
	case Hangs:
		select {
		case <-release:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case Drops:
		panic(http.ErrAbortHandler)
	case Takes:
	}
	if f.Check != nil {
		if err := f.Check(r, body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, err)
			return
		}
	}
	text := string(body)
	if f.Render != nil {
		text = f.Render(r.Header, body)
	}
	f.mu.Lock()
	f.taken = append(f.taken, text)
	f.mu.Unlock()
	_, _ = io.WriteString(w, f.Answer)
}
