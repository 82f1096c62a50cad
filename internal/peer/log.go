package peer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/backstaydb/backstay/internal/history"
)

// Log is the host that captures a cluster as a source: it has log that a member may lack.
type Log interface {
	// Stored is the end of the unbroken, durable log of a timeline that a repository has; the zero Position where it has none.
	Stored(ctx context.Context, timeline uint32) (history.Position, error)
	// Lend writes the log behind from, as far as it is there, as a tar, where log files have size bytes. It fails where what comes next is not there.
	Lend(ctx context.Context, from history.Position, size uint64, to io.Writer) error
}

// Log is the host that captures a cluster.
func (c *Caller) Log(h Host, cluster string) Log {
	return &remoteLog{c, h, "logs/" + url.PathEscape(cluster)}
}

type remoteLog struct {
	caller *Caller
	host   Host
	path   string
}

func (l *remoteLog) Stored(ctx context.Context, timeline uint32) (at history.Position, err error) {
	return at, l.caller.ask(ctx, l.host, l.path+"/stored", timeline, &at)
}

// loan is what is asked for.
type loan struct {
	From history.Position `json:"from"`
	Size uint64           `json:"size"`
}

// Lend implements Log. The answer may be large; ctx bounds it.
func (l *remoteLog) Lend(ctx context.Context, from history.Position, size uint64, to io.Writer) error {
	response, err := l.caller.post(ctx, l.host, l.path+"/lend", loan{from, size})
	if err != nil {
		return fmt.Errorf("ask %s: %w", l.host.Name, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
		if err == nil {
			err = read(response.StatusCode, text, nil)
		}
		return fmt.Errorf("ask %s: %w", l.host.Name, err)
	}
	if _, err := io.Copy(to, response.Body); err != nil {
		return fmt.Errorf("receive from %s: %w", l.host.Name, err)
	}
	return nil
}

// serveLog serves what is asked of the host that captures.
func serveLog(m *http.ServeMux, p Parts) {
	serve(m, p, "logs/{cluster}/stored", func(r *http.Request, timeline uint32) (history.Position, error) {
		log, err := findRoute(r, p.Log)
		if err != nil {
			return history.Position{}, err
		}
		return log.Stored(r.Context(), timeline)
	})
	m.HandleFunc("POST /peer/1/logs/{cluster}/lend", func(w http.ResponseWriter, r *http.Request) {
		if !p.admits(w, r) {
			return
		}
		log, err := findRoute(r, p.Log)
		out := &begun{w: w}
		if err == nil {
			_, err = ask(r, func(r *http.Request, q loan) (struct{}, error) {
				return struct{}{}, log.Lend(r.Context(), q.From, q.Size, out)
			})
		}
		switch {
		case err == nil:
		case out.some:
			panic(http.ErrAbortHandler) // the other side must not take what it has for all
		default:
			p.tell("", r, err)
			reply(w, statusOf(err), problem{err.Error()})
		}
	})
}

// begun is an answer, and whether any of it was sent.
type begun struct {
	w    http.ResponseWriter
	some bool
}

func (b *begun) Write(data []byte) (int, error) {
	b.some = true
	return b.w.Write(data)
}
