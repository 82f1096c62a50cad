package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/archive"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/recovery"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store/mirror"
)

// Reach says which history a command reads: that of a source of backstay.yaml, or, on a bare machine, that in a
// store.
type Reach struct {
	Source     string // may be empty with Store, if the store holds one source only
	Store      string // URL; "" means the repositories of backstay.yaml
	Repository string // one of them, by name; "" means all
	Key        string // file; "" means backstay.key where there is one

	// Damaged also opens a repository whose ledger is not as it was written, for those who want to know more.
	Damaged bool

	// Spool also opens what lies on this host and may be in no repository yet.
	Spool bool

	// Mirror reads what is damaged, missing or unreachable in one repository from another of the source.
	Mirror bool
}

// Reached is an opened history: one repository or more of the same source.
type Reached struct {
	Source       string
	Repositories []OpenRepository // those that answered, in the order of backstay.yaml
	Failures     []Failure        // those that did not

	host  *Host          // nil on a bare machine
	local *archive.Local // nil where nothing lies here, or nobody asked
}

// OpenRepository is one repository of the source and what its ledger says.
type OpenRepository struct {
	Name  string // as in backstay.yaml; the URL of the store on a bare machine
	Store string
	Repo  *repository.Repository
	Facts repository.Facts

	mirror *mirror.Store // nil without Reach.Mirror
}

// Failure is a repository that did not answer.
type Failure struct {
	Name  string
	Store string
	Err   error
}

// Open opens what r says. It fails if no repository answers; those that do not, beside ones that do, are Failures.
func (h *Host) Open(ctx context.Context, r Reach) (*Reached, error) {
	if r.Store != "" {
		return openStore(ctx, r)
	}
	s, ok := h.Config.Sources[r.Source]
	if !ok {
		return nil, fmt.Errorf("open source %s: %w", r.Source, fs.ErrNotExist)
	}
	names := s.Everywhere()
	if r.Repository != "" {
		if !slices.Contains(names, r.Repository) {
			return nil, &MissingError{Err: fmt.Errorf("source %s has no repository %q", r.Source, r.Repository), Advice: "its repositories: " + strings.Join(names, ", ")}
		}
		names = []string{r.Repository}
	}
	key, err := h.key(r.Key)
	if err != nil {
		return nil, err
	}
	out := &Reached{Source: r.Source, host: h}
	if r.Spool {
		out.local = h.openLocal(r.Source) // before the repositories: see archive.OpenLocal
	}
	for _, name := range names {
		url := h.Config.Repositories[name].Store
		o, err := h.openRepository(ctx, r, name, key)
		if errors.Is(err, fs.ErrNotExist) && !slices.Contains(s.Repositories, name) && r.Repository == "" {
			continue // nothing was old enough to be moved there yet
		}
		if err != nil {
			out.Failures = append(out.Failures, Failure{name, url, err})
			continue
		}
		out.Repositories = append(out.Repositories, o)
	}
	if err := out.answered(); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}

// openRepository opens one repository of backstay.yaml for reading.
func (h *Host) openRepository(ctx context.Context, r Reach, name string, key Key) (OpenRepository, error) {
	source := r.Source
	trusted, err := h.trusted(source)
	if err != nil {
		return OpenRepository{}, err
	}
	url := h.Config.Repositories[name].Store
	s, err := h.openStore(ctx, name)
	if err != nil {
		return OpenRepository{}, err
	}
	out := OpenRepository{Name: name, Store: url}
	if r.Mirror {
		out.mirror = mirror.New(mirror.Source{Name: name, Store: s}, h.mirrors(ctx, source, name), sharedBy(source))
		s = out.mirror
	}
	o := repository.Options{Source: source, Trusted: slices.Concat(trusted, key.Pins), Identities: key.Identities, Log: h.Log, Now: h.Now}
	if _, err := os.Stat(h.sourceState(source)); err == nil {
		o.Seen = h.seen(source, name)
	}
	if out.Repo, err = repository.Open(ctx, s, o); err != nil {
		return OpenRepository{}, storeError(url, key.foreign(err))
	}
	return r.facts(ctx, out)
}

// facts reads what the ledger says.
func (r Reach) facts(ctx context.Context, o OpenRepository) (OpenRepository, error) {
	var err error
	if o.Facts, err = o.Repo.Facts(ctx); err != nil && !r.Damaged {
		return OpenRepository{}, storeError(o.Store, err)
	}
	return o, nil
}

// openStore opens the history of a source in a store, on a machine that knows nothing of it.
func openStore(ctx context.Context, r Reach) (*Reached, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the current folder: %w", err)
	}
	s, err := OpenStore(ctx, r.Store, dir)
	if err != nil {
		return nil, err
	}
	var key Key
	if r.Key != "" {
		if key, err = ReadKey(r.Key); err != nil {
			return nil, err
		}
	}
	if r.Source == "" {
		if r.Source, err = onlySource(ctx, r.Store, s.String(), func() ([]string, error) { return repository.Sources(ctx, s) }); err != nil {
			return nil, err
		}
	}
	repo, err := repository.Open(ctx, s, repository.Options{Source: r.Source, Trusted: key.Pins, Identities: key.Identities})
	if err != nil {
		return nil, storeError(r.Store, key.foreign(err))
	}
	o, err := r.facts(ctx, OpenRepository{Name: r.Store, Store: r.Store, Repo: repo})
	if err != nil {
		return nil, err
	}
	return &Reached{Source: r.Source, Repositories: []OpenRepository{o}}, nil
}

func onlySource(_ context.Context, url, name string, sources func() ([]string, error)) (string, error) {
	all, err := sources()
	switch {
	case err != nil:
		return "", storeError(url, err)
	case len(all) == 0:
		return "", &MissingError{Err: fmt.Errorf("%s holds no repository", name), Advice: "is its disk mounted, and are folder, or bucket and prefix, right?"}
	case len(all) > 1:
		return "", &config.Error{File: "store", Message: fmt.Sprintf("%s holds %d sources", name, len(all)), Advice: "name one: " + strings.Join(all, ", ")}
	}
	return all[0], nil
}

// answered fails if no repository answered.
func (r *Reached) answered() error {
	if len(r.Repositories) > 0 {
		return nil
	}
	if len(r.Failures) == 1 {
		return fmt.Errorf("repository %s: %w", r.Failures[0].Name, r.Failures[0].Err)
	}
	var all []error
	for _, f := range r.Failures {
		all = append(all, fmt.Errorf("repository %s: %w", f.Name, f.Err))
	}
	return errors.Join(all...)
}

// Engine is the engine of the source, as its repository says.
func (r *Reached) Engine() (engine.Engine, error) { return engineOf(r.Repositories[0].engine()) }

func (o OpenRepository) engine() string { return o.Facts.History.Engine }

func (o OpenRepository) origin() recovery.Origin {
	out := recovery.Origin{
		Name: o.Name, History: o.Facts.History,
		OpenBase: func(ctx context.Context, id string) (recovery.Base, error) {
			b, err := o.Repo.OpenBase(ctx, id)
			if err != nil {
				return nil, err
			}
			return b, nil
		},
		OpenLog: o.Repo.OpenLog,
		Hold: func(ctx context.Context, chain history.Chain, by string) (func(), error) {
			return o.Repo.Hold(ctx, chain, by+onHost())
		},
	}
	if o.mirror != nil {
		out.Mirror = mirrored{o.mirror}
	}
	return out
}

// onHost says where something is done, behind what it is.
func onHost() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	return " on " + host
}

// storeError tells a store that fails from what a repository says about its content.
func storeError(url string, err error) error {
	var hinted interface{ Hint() string }
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, &hinted) {
		return &MissingError{Err: err}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, &hinted) || errors.Is(err, context.Canceled) {
		return err
	}
	return &StoreError{Store: url, Err: err}
}
