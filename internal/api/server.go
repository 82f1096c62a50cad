package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// versionHeader carries Version in requests and answers.
const versionHeader = "Backstay-Protocol"

// line is one line of a streamed answer: progress, and at the end the result or an error.
type line struct {
	Progress *Progress `json:"progress,omitempty"`
	Base     *Base     `json:"base,omitempty"`
	Error    *Error    `json:"error,omitempty"`
}

// Serve answers commands on the socket in dir until ctx ends. The caller holds the lock of dir. exit finds the exit
// code of an error, for the command that asked.
func Serve(ctx context.Context, dir string, c Controller, exit func(error) int) error {
	l, err := listen(dir)
	if err != nil {
		return err
	}
	defer l.sweep()
	server := &http.Server{
		Handler:           handler(c, exit),
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	var wg sync.WaitGroup
	wg.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer wg.Done()
		// Requests see the end of ctx themselves; whoever still reads an answer has a second for it.
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(late) != nil {
			_ = server.Close()
		}
	})
	err = server.Serve(l)
	if stop() {
		wg.Done()
	}
	wg.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return ctx.Err()
	}
	return fmt.Errorf("serve control socket: %w", err)
}

func handler(c Controller, exit func(error) int) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		s, err := c.Status(r.Context())
		reply(w, s, err, exit)
	})
	mux.HandleFunc("POST /backup/{source}", func(w http.ResponseWriter, r *http.Request) {
		out := json.NewEncoder(w)
		base, err := c.Backup(r.Context(), r.PathValue("source"), func(p Progress) {
			_ = out.Encode(line{Progress: &p}) // A command that went away ends the request's context.
			_ = http.NewResponseController(w).Flush()
		})
		if err != nil {
			_ = out.Encode(line{Error: wire(err, exit)})
			return
		}
		_ = out.Encode(line{Base: &base})
	})
	mux.HandleFunc("GET /plan", func(w http.ResponseWriter, r *http.Request) {
		jobs, err := c.Plan(r.Context())
		reply(w, jobs, err, exit)
	})
	ask := func(path string, do func(context.Context, string, Pause) (string, error)) {
		mux.HandleFunc("POST "+path+"/{source}", func(w http.ResponseWriter, r *http.Request) {
			replyTo(w, r, exit, func(p Pause) (string, error) { return do(r.Context(), r.PathValue("source"), p) })
		})
	}
	ask("/pause", func(ctx context.Context, source string, p Pause) (string, error) { return "", c.Pause(ctx, source, p) })
	ask("/resume", func(ctx context.Context, source string, p Pause) (string, error) { return "", c.Resume(ctx, source, p) })
	ask("/run", c.RunNow)
	mux.HandleFunc("POST /order/{cluster}", func(w http.ResponseWriter, r *http.Request) {
		replyTo(w, r, exit, func(o ClusterOrder) (ClusterOutcome, error) { return c.Order(r.Context(), r.PathValue("cluster"), o) })
	})
	mux.HandleFunc("POST /recover", func(w http.ResponseWriter, r *http.Request) {
		replyTo(w, r, exit, func(o VoterRecovery) (VoterRecovered, error) { return c.Recover(r.Context(), o) })
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(versionHeader, strconv.Itoa(Version))
		if r.Header.Get(versionHeader) != strconv.Itoa(Version) {
			answer(w, http.StatusUpgradeRequired, &Error{Message: "the daemon and this command are of different versions", Advice: "restart the daemon with the binary that you are using", Exit: 1})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// maxQuestion bounds the body of a question, in bytes.
const maxQuestion = 1 << 16

// replyTo reads the question in the body and answers with what do makes of it.
func replyTo[Q, A any](w http.ResponseWriter, r *http.Request, exit func(error) int, do func(Q) (A, error)) {
	var q Q
	var a A
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion)).Decode(&q)
	if err == nil {
		a, err = do(q)
	}
	reply(w, a, err, exit)
}

// reply answers with v, or with err.
func reply(w http.ResponseWriter, v any, err error, exit func(error) int) {
	if err != nil {
		answer(w, http.StatusInternalServerError, wire(err, exit))
		return
	}
	answer(w, http.StatusOK, v)
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // Whoever asked is gone if this fails.
}
