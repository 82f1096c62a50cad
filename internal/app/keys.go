package app

import (
	"context"
	"fmt"

	"github.com/backstaydb/backstay/internal/repository"
)

// ChangeKeys changes who can read in the first repository of a source and copies the change to the others, since all
// seal to the same identity. It needs all of them, and a key that can read.
func (h *Host) ChangeKeys(ctx context.Context, source, keyFile string, change func(*repository.Repository) error) error {
	key, err := h.key(keyFile)
	if err != nil {
		return err
	}
	if len(key.Identities) == 0 {
		return &KeyError{Err: fmt.Errorf("change the keys of %s: it needs a key that can read", source), Advice: "name its file with --key"}
	}
	signer, err := h.signer()
	if err != nil {
		return err
	}
	trusted, err := h.trusted(source)
	if err != nil {
		return err
	}
	var first *repository.Repository
	for _, name := range h.Config.Sources[source].Repositories {
		url := h.Config.Repositories[name].Store
		s, err := h.openStore(ctx, name)
		if err != nil {
			return err
		}
		repo, err := repository.Open(ctx, s, repository.Options{Source: source, Signer: signer, Trusted: trusted, Identities: key.Identities, Lock: h.lockOf(name), Log: h.Log, Now: h.Now})
		if err != nil {
			return storeError(url, err)
		}
		if first == nil {
			first = repo
			err = change(repo)
		} else {
			err = repo.CopyKeys(ctx, first)
		}
		if err != nil {
			return fmt.Errorf("repository %s: %w", name, err)
		}
	}
	return nil
}
