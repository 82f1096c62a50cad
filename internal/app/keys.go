package app

import (
	"context"
	"fmt"

	"github.com/backstaydb/backstay/internal/repository"
)

// ChangeKeys changes who can read in the first repository of a source and copies the change to the others, since all
// seal to the same identity. It needs all of them, and a key that can read.
func (h *Host) ChangeKeys(ctx context.Context, source, keyFile string, change func(*repository.Repository) error) error {
	repos, err := h.openForKeys(ctx, source, keyFile)
	if err != nil {
		return err
	}
	for i, name := range h.Config.Sources[source].Repositories {
		if i == 0 {
			err = change(repos[0])
		} else {
			err = repos[i].CopyKeys(ctx, repos[0])
		}
		if err != nil {
			return fmt.Errorf("repository %s: %w", name, err)
		}
	}
	return nil
}

// openForKeys opens all repositories of a source with a key that can read, to change them.
func (h *Host) openForKeys(ctx context.Context, source, keyFile string) ([]*repository.Repository, error) {
	key, err := h.key(keyFile)
	if err != nil {
		return nil, err
	}
	if len(key.Identities) == 0 {
		return nil, &KeyError{Err: fmt.Errorf("change the keys of %s: it needs a key that can read", source), Advice: "name its file with --key"}
	}
	signer, err := h.signer()
	if err != nil {
		return nil, err
	}
	trusted, err := h.trusted(source)
	if err != nil {
		return nil, err
	}
	var repos []*repository.Repository
	for _, name := range h.Config.Sources[source].Repositories {
		url := h.Config.Repositories[name].Store
		s, err := OpenStore(ctx, url, h.Config.Dir())
		if err != nil {
			return nil, err
		}
		repo, err := repository.Open(ctx, s, repository.Options{Source: source, Signer: signer, Trusted: trusted, Identities: key.Identities, Lock: h.lockOf(name), Log: h.Log, Now: h.Now})
		if err != nil {
			return nil, fmt.Errorf("repository %s: %w", name, storeError(url, err))
		}
		repos = append(repos, repo)
	}
	return repos, nil
}
