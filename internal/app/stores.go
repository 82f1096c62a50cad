package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/limit"
	"github.com/backstaydb/backstay/internal/store/local"
	"github.com/backstaydb/backstay/internal/store/retry"
	"github.com/backstaydb/backstay/internal/store/s3"
)

// stores is the table of where repositories can lie, by scheme; a URL without one is a folder.
var stores = map[string]func(ctx context.Context, url, dir string) (store.Store, error){
	"":     openLocal,
	"file": openLocal,
	"s3":   openS3,
}

// tries bounds what is done about a store that fails for a moment. What stays down longer is waited for by archive,
// which keeps the log in the spool meanwhile.
var tries = retry.Config{
	Attempts: 4,
	Backoff:  backoff.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second, Factor: 3},
	Rand:     rand.Float64,
}

// OpenStore opens the store behind a URL; a folder is relative to dir. Nothing is made before something is stored.
func OpenStore(ctx context.Context, url, dir string) (store.Store, error) {
	if err := validStore(url); err != nil {
		return nil, err
	}
	s, err := stores[schemeOf(url)](ctx, url, dir)
	if err != nil {
		return nil, &StoreError{Store: url, Err: err}
	}
	return retry.New(s, tries), nil
}

// lines are the bounds of the repositories, by name. Sources that share a repository share its line.
type lines struct {
	mu    sync.Mutex
	named map[string]*limit.Line
}

// hurried is up to how large an object never waits for a line: a tip, a checkpoint, a report.
const hurried = 256 << 10

// bounded has this host keep to the limits of its file, now and after each reload.
func (h *Host) bounded() {
	if h.lines == nil {
		h.lines = &lines{named: map[string]*limit.Line{}}
	}
	h.lines.mu.Lock()
	defer h.lines.mu.Unlock()
	for name, r := range h.Config.Repositories {
		rate := int64(r.Limit.Rate)
		if l := h.lines.named[name]; l != nil {
			l.SetRates(rate, rate)
			continue
		}
		h.lines.named[name] = limit.NewLine(limit.Config{Upload: rate, Download: rate, Hurried: hurried})
	}
}

// openStore opens the store of a repository of the file.
func (h *Host) openStore(ctx context.Context, repository string) (store.Store, error) {
	s, err := OpenStore(ctx, h.Config.Repositories[repository].Store, h.Config.Dir())
	if err != nil || h.lines == nil {
		return s, err
	}
	h.lines.mu.Lock()
	defer h.lines.mu.Unlock()
	if l := h.lines.named[repository]; l != nil {
		// Outside of the tries: to wait for the line is no silence of the store.
		return l.Wrap(s), nil
	}
	return s, nil
}

// validStore refuses a URL that can name no store, without touching anything.
func validStore(url string) error {
	if err := config.RefuseSecret(url); err != nil {
		return err
	}
	if _, ok := stores[schemeOf(url)]; !ok {
		return &config.Error{File: "store", Message: fmt.Sprintf("no store is called %q", schemeOf(url)), Advice: "stores are folders (./repo) and S3-compatible buckets (s3://bucket/prefix?endpoint=https://...)"}
	}
	if schemeOf(url) == "s3" {
		if _, err := s3.ParseURL(url); err != nil {
			return &config.Error{File: "store", Message: err.Error(), Advice: hintOf(err)}
		}
	}
	return nil
}

func schemeOf(url string) string {
	scheme, _, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	return scheme
}

func openLocal(ctx context.Context, url, dir string) (store.Store, error) {
	path, _ := folderOf(url, dir)
	return local.Open(ctx, path)
}

// folderOf is the folder behind a URL; ok is false for one that is none.
func folderOf(url, dir string) (path string, ok bool) {
	if scheme := schemeOf(url); scheme != "" && scheme != "file" {
		return "", false
	}
	path = strings.TrimPrefix(url, "file://")
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return path, true
}

func openS3(ctx context.Context, url, _ string) (store.Store, error) {
	l, err := s3.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return s3.Open(ctx, l)
}

// lockOf is for how long nobody may delete what this host puts into a repository; zero where it is not in the file.
func (h *Host) lockOf(repository string) time.Duration {
	if h.Config == nil {
		return 0
	}
	return time.Duration(h.Config.Repositories[repository].Lock)
}
