package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/sqlite"
)

// ProtectOptions are what `protect` was asked for.
type ProtectOptions struct {
	Config     string // path of backstay.yaml, which need not be there
	URL        string
	Name       string   // "" means after the file
	Stores     []string // none means those of the file, or ./repo
	Recipients []string // none means those of the file, or a key made here
	WAL        bool     // switch the database to WAL mode first
}

// Protection is what `protect` is about to set up.
type Protection struct {
	Source       string
	URL          string
	Identity     engine.Identity
	Repositories []string // names
	Stores       []string // where they lie, in the same order
	MakesKey     string   // the key file that will be made; "" for none
	Adds         config.Addition
	Sentinel     bool // the file asks for a row in the source each second

	options ProtectOptions
	target  string // URL with its path made absolute
}

// PlanProtect looks at the source and the file, decides what is to be set up, and changes nothing.
func PlanProtect(ctx context.Context, o ProtectOptions, log *slog.Logger) (*Protection, error) {
	if err := config.RefuseSecret(o.URL); err != nil {
		return nil, err
	}
	cfg, err := loadOrNew(o.Config)
	if err != nil {
		return nil, err
	}
	p := &Protection{URL: o.URL, Source: o.Name, options: o}
	if err := p.name(cfg); err != nil {
		return nil, err
	}
	if p.Identity, err = identify(ctx, p, cfg, log); err != nil {
		return nil, err
	}
	p.Adds = config.Addition{Repositories: map[string]config.Repository{}, Sources: map[string]config.Source{}, Recipients: map[string]string{}}
	p.Sentinel = cfg.Sources[p.Source].Sentinels()
	if err := p.repositories(cfg); err != nil {
		return nil, err
	}
	if err := p.readers(cfg); err != nil {
		return nil, err
	}
	if p.MakesKey != "" && anyHolds(ctx, p.Source, p.Stores, cfg.Dir()) {
		p.MakesKey = "" // who can read is settled already
	}
	return p, nil
}

func loadOrNew(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return cfg, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", path, err)
	}
	return &config.Config{Path: abs}, nil
}

// name finds out under which name the URL is, or will be, protected.
func (p *Protection) name(cfg *config.Config) error {
	for _, name := range cfg.SourceNames() {
		if cfg.Sources[name].URL == p.URL && (p.Source == "" || p.Source == name) {
			p.Source = name
		}
	}
	if p.Source == "" {
		p.Source = NameOf(p.URL)
	}
	if !config.ValidName(p.Source) {
		return &config.Error{File: "--name", Message: fmt.Sprintf("name %q", p.Source), Advice: "names hold letters, digits, and - _ = . inside, at most 64 of them"}
	}
	if s, ok := cfg.Sources[p.Source]; ok && s.URL != p.URL {
		return &config.Error{File: config.Name, Message: fmt.Sprintf("source %s is %s already, not %s", p.Source, s.URL, p.URL), Advice: "choose another name with --name"}
	}
	return nil
}

func identify(ctx context.Context, p *Protection, cfg *config.Config, log *slog.Logger) (engine.Identity, error) {
	e, target, err := protectorOf(p.URL, cfg)
	if err != nil {
		return engine.Identity{}, err
	}
	p.target = target
	id, err := look(ctx, e, target, engine.Options{Name: p.Source, Log: log, Now: time.Now})
	if err != nil {
		return engine.Identity{}, &SourceError{Source: p.Source, Err: err}
	}
	return id, nil
}

// repositories decides where the history goes.
func (p *Protection) repositories(cfg *config.Config) error {
	had, known := cfg.Sources[p.Source]
	switch {
	case len(p.options.Stores) > 0:
		for _, url := range p.options.Stores {
			if err := validStore(url); err != nil {
				return err
			}
			p.addStore(cfg, url)
		}
	case known:
		p.Repositories = had.Repositories
	case len(cfg.Repositories) > 0:
		p.Repositories = cfg.RepositoryNames()
	default:
		p.addStore(cfg, "./repo")
	}
	for _, name := range p.Repositories {
		r, ok := cfg.Repositories[name]
		if !ok {
			r = p.Adds.Repositories[name]
		}
		p.Stores = append(p.Stores, r.Store)
	}
	if !known {
		p.Adds.Sources[p.Source] = config.Source{URL: p.URL, Promise: config.Promise{Repositories: p.Repositories}}
		return nil
	}
	if !slices.Equal(had.Repositories, p.Repositories) {
		return &config.Error{File: config.Name, Message: fmt.Sprintf("source %s goes to %s already", p.Source, strings.Join(had.Repositories, ", ")), Advice: "to change where it goes, change its repositories in the file"}
	}
	return nil
}

// addStore takes the repository that lies at url, or names a new one.
func (p *Protection) addStore(cfg *config.Config, url string) {
	for _, name := range cfg.RepositoryNames() {
		if cfg.Repositories[name].Store == url {
			p.Repositories = append(p.Repositories, name)
			return
		}
	}
	stem, _, isURL := strings.Cut(url, "://")
	if !isURL || stem == "file" {
		stem = "local"
	}
	name := stem
	for n := 2; ; n++ {
		_, old := cfg.Repositories[name]
		_, added := p.Adds.Repositories[name]
		if !old && !added {
			break
		}
		name = fmt.Sprintf("%s%d", stem, n)
	}
	p.Adds.Repositories[name] = config.Repository{Store: url}
	p.Repositories = append(p.Repositories, name)
}

// readers decides who can read what new repositories hold.
func (p *Protection) readers(cfg *config.Config) error {
	for i, r := range p.options.Recipients {
		if _, err := age.ParseX25519Recipient(r); err != nil {
			return &config.Error{File: "--recipient", Message: fmt.Sprintf("recipient %d is not an age recipient", i+1), Advice: "a recipient begins with age1 and is printed by age-keygen"}
		}
		if !slices.Contains(sortedValues(cfg.Recipients), r) {
			p.Adds.Recipients[fmt.Sprintf("reader%d", len(cfg.Recipients)+len(p.Adds.Recipients)+1)] = r
		}
	}
	if len(cfg.Recipients)+len(p.Adds.Recipients) > 0 {
		return nil
	}
	_, keyErr := os.Stat(cfg.KeyFile())
	// A source whose repositories this host has seen has its readers; its key was moved away, as advised.
	_, begunErr := os.Stat(filepath.Join(cfg.StateDir(), p.Source, "trusted"))
	if errors.Is(keyErr, fs.ErrNotExist) && errors.Is(begunErr, fs.ErrNotExist) {
		p.MakesKey = cfg.KeyFile()
	}
	return nil
}

func sortedValues(m map[string]string) []string {
	var values []string
	for _, v := range m {
		values = append(values, v)
	}
	return values
}

// Apply sets it up: the file, the state folder, and the key. What is there already stays as it is.
// While a daemon runs in the folder nothing is changed.
func (p *Protection) Apply(ctx context.Context, log *slog.Logger) (*Host, error) {
	abs, err := filepath.Abs(p.options.Config)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", p.options.Config, err)
	}
	unlock, err := lock((&config.Config{Path: abs}).StateDir())
	if err != nil {
		return nil, err
	}
	defer unlock()
	if p.options.WAL && p.Identity.Mode != "wal" {
		if err := sqlite.EnableWAL(ctx, strings.TrimPrefix(p.target, "sqlite:")); err != nil {
			return nil, &SourceError{Source: p.Source, Err: err}
		}
	}
	edit := func(data []byte) ([]byte, error) { return config.Add(config.Name, data, p.Adds) }
	if err := config.Edit(p.options.Config, edit); err != nil {
		return nil, err
	}
	cfg, err := config.Load(p.options.Config)
	if err != nil {
		return nil, err
	}
	h := NewHost(cfg, log)
	if p.MakesKey != "" {
		if _, err := h.makeKey(); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	return h, nil
}
