package django

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// visitors use the project all the time: each one orders something, and looks at once whether it is there.
type visitors struct {
	t       *testing.T
	project *project
	stop    atomic.Bool
	all     sync.WaitGroup

	mu       sync.Mutex
	accepted []string       // orders that were answered with 201
	failed   map[string]int // requests by how they failed
	requests int
	replicas int // reads that a replica answered
	longest  time.Duration
}

func (p *project) visit(t *testing.T, n int) *visitors {
	v := &visitors{t: t, project: p, failed: map[string]int{}}
	for i := range n {
		v.all.Go(func() { v.visitor(i) })
	}
	return v
}

// enough waits until so many orders were accepted that something could be wrong with them.
func (v *visitors) enough() {
	v.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		v.mu.Lock()
		n := len(v.accepted)
		v.mu.Unlock()
		if n >= 100 {
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("only %d orders", n)
		}
	}
}

// leave ends the visits and waits for the last ones.
func (v *visitors) leave() {
	v.stop.Store(true)
	v.all.Wait()
}

func (v *visitors) visitor(who int) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		v.t.Error(err)
		return
	}
	known := &http.Client{Jar: jar, Timeout: time.Minute}
	stranger := &http.Client{Timeout: time.Minute}
	defer known.CloseIdleConnections()
	defer stranger.CloseIdleConnections()
	last := ""
	for i := 0; !v.stop.Load(); i++ {
		number := fmt.Sprintf("%d-%d", who, i)
		if v.order(known, number) {
			v.look(known, number, "what it just ordered")
			last = number
		}
		if last != "" && i%3 == 0 {
			v.look(stranger, last, "")
		}
	}
}

// order says whether the order was accepted.
func (v *visitors) order(c *http.Client, number string) bool {
	began := time.Now()
	r, err := c.PostForm(v.project.url+"/orders", url.Values{"number": {number}})
	if !v.count(began, "POST", r, err, http.StatusCreated) {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.accepted = append(v.accepted, number)
	return true
}

// look reads an order. One that must be seen is named.
func (v *visitors) look(c *http.Client, number, must string) {
	began := time.Now()
	r, err := c.Get(v.project.url + "/orders/" + number)
	if err == nil && r.StatusCode == http.StatusNotFound && must == "" {
		_ = r.Body.Close() // nothing is read
		return             // a replica is a little behind
	}
	var answer struct{ From string }
	if err == nil && r.StatusCode == http.StatusOK {
		if err = json.NewDecoder(r.Body).Decode(&answer); err != nil {
			v.t.Error(err)
		}
	}
	v.count(began, "GET "+must, r, err, http.StatusOK)
	if answer.From == "replica" {
		v.mu.Lock()
		v.replicas++
		v.mu.Unlock()
	}
}

func (v *visitors) count(began time.Time, what string, r *http.Response, err error, want int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.requests++
	v.longest = max(v.longest, time.Since(began))
	if err != nil {
		v.failed[fmt.Sprintf("%s: %v", what, err)]++
		return false
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != want {
		v.failed[fmt.Sprintf("%s: %d %v", what, r.StatusCode, err)]++
		return false
	}
	return true
}

func (v *visitors) failures() (n int) {
	for _, each := range v.failed {
		n += each
	}
	return n
}
