package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/backstaydb/backstay/internal/repository"
)

// ChangeKeys changes who can read in the first repository of a source and copies the change to the others, since all
// seal to the same identity. It needs all of them, and a key that can read.
func (h *Host) ChangeKeys(ctx context.Context, source, keyFile string, change func(*repository.Repository) error) error {
	names, repos, err := h.openForKeys(ctx, source, keyFile)
	if err != nil {
		return err
	}
	for i, r := range repos {
		if i == 0 {
			err = change(r)
		} else {
			err = r.CopyKeys(ctx, repos[0])
		}
		if err != nil {
			return fmt.Errorf("repository %s: %w", names[i], err)
		}
	}
	return nil
}

// openForKeys opens all repositories of a source with a key that can read, to change them. It returns their names, too.
func (h *Host) openForKeys(ctx context.Context, source, keyFile string) (names []string, repos []*repository.Repository, err error) {
	key, err := h.key(keyFile)
	if err != nil {
		return nil, nil, err
	}
	if len(key.Identities) == 0 {
		return nil, nil, &KeyError{Err: fmt.Errorf("change the keys of %s: it needs a key that can read", source), Advice: "name its file with --key"}
	}
	signer, err := h.signer()
	if err != nil {
		return nil, nil, err
	}
	trusted, err := h.trusted(source)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range h.Config.Sources[source].Everywhere() {
		url := h.Config.Repositories[name].Store
		s, err := h.openStore(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		repo, err := repository.Open(ctx, s, repository.Options{Source: source, Signer: signer, Trusted: trusted, Identities: key.Identities, Lock: h.lockOf(name), Log: h.Log, Now: h.Now})
		if errors.Is(err, fs.ErrNotExist) && !slices.Contains(h.Config.Sources[source].Repositories, name) {
			continue // nothing was old enough to be moved there yet
		}
		if err != nil {
			return nil, nil, fmt.Errorf("repository %s: %w", name, storeError(url, err))
		}
		if err := h.maySign(ctx, source, OpenRepository{Name: name, Store: url, Repo: repo}, signer, key); err != nil {
			return nil, nil, fmt.Errorf("repository %s: %w", name, err)
		}
		names, repos = append(names, name), append(repos, repo)
	}
	return names, repos, nil
}
