package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// ErrNotRunning says that no daemon answers in the folder.
var ErrNotRunning = errors.New("no daemon is running here")

// Client asks the daemon of one folder.
type Client struct{ http *http.Client }

// Dial returns a client for the daemon whose state is in dir. It connects with the first question.
func Dial(dir string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return (&net.Dialer{}).DialContext(ctx, "unix", address(dir))
	}
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status asks how all sources are doing; ErrNotRunning if no daemon is there.
func (c *Client) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var s Status
	return s, c.ask(ctx, http.MethodGet, "/status", nil, &s)
}

// Plan asks what is due and what comes; ErrNotRunning if no daemon is there.
func (c *Client) Plan(ctx context.Context) ([]Job, error) {
	var jobs []Job
	return jobs, c.ask(ctx, http.MethodGet, "/plan", nil, &jobs)
}

// Pause keeps a source or one of its jobs from beginning anything; ErrNotRunning if no daemon is there.
func (c *Client) Pause(ctx context.Context, source string, p Pause) error {
	return c.ask(ctx, http.MethodPost, "/pause/"+url.PathEscape(source), p, new(string))
}

// Resume ends a pause; ErrNotRunning if no daemon is there.
func (c *Client) Resume(ctx context.Context, source string, p Pause) error {
	return c.ask(ctx, http.MethodPost, "/resume/"+url.PathEscape(source), p, new(string))
}

// RunNow makes a job due and returns what that leads to; ErrNotRunning if no daemon is there.
func (c *Client) RunNow(ctx context.Context, source string, p Pause) (string, error) {
	var text string
	return text, c.ask(ctx, http.MethodPost, "/run/"+url.PathEscape(source), p, &text)
}

// Order has something done with a cluster; ErrNotRunning if no daemon is there.
func (c *Client) Order(ctx context.Context, cluster string, o ClusterOrder) (ClusterOutcome, error) {
	var out ClusterOutcome
	return out, c.ask(ctx, http.MethodPost, "/order/"+url.PathEscape(cluster), o, &out)
}

// Recover has this host's voter go on alone; ErrNotRunning if no daemon is there.
func (c *Client) Recover(ctx context.Context, o VoterRecovery) (VoterRecovered, error) {
	var out VoterRecovered
	return out, c.ask(ctx, http.MethodPost, "/recover", o, &out)
}

// ask sends one question and reads its one answer.
func (c *Client) ask(ctx context.Context, method, path string, question, into any) error {
	var send io.Reader
	if question != nil {
		b, err := json.Marshal(question)
		if err != nil {
			return fmt.Errorf("ask the daemon: %w", err)
		}
		send = bytes.NewReader(b)
	}
	body, err := c.do(ctx, method, path, send)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}

// Backup asks for a full base of source; ErrNotRunning if no daemon is there. Ending ctx ends the backup.
func (c *Client) Backup(ctx context.Context, source string, progress func(Progress)) (Base, error) {
	body, err := c.do(ctx, http.MethodPost, "/backup/"+url.PathEscape(source), nil)
	if err != nil {
		return Base{}, err
	}
	defer body.Close()
	for in := json.NewDecoder(body); ; {
		var l line
		switch err := in.Decode(&l); {
		case errors.Is(err, io.EOF):
			return Base{}, errors.New("the daemon ended before the backup was complete")
		case err != nil:
			return Base{}, fmt.Errorf("read the daemon's answer: %w", err)
		case l.Error != nil:
			return Base{}, l.Error
		case l.Base != nil:
			return *l.Base, nil
		case l.Progress != nil && progress != nil:
			progress(*l.Progress)
		}
	}
}

func (c *Client) do(ctx context.Context, method, path string, send io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://daemon"+path, send)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	req.Header.Set(versionHeader, strconv.Itoa(Version))
	resp, err := c.http.Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	e := &Error{Exit: 1}
	if err := json.NewDecoder(resp.Body).Decode(e); err != nil || e.Message == "" {
		e.Message = "the daemon answered " + resp.Status
	}
	return nil, e
}
