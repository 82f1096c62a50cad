package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/backstaydb/backstay/internal/repository"
)

// newReaders are who can read a repository that is made now: the recipients of backstay.yaml, else the key beside it,
// which is made if it is not there.
func (h *Host) newReaders() ([]repository.Reader, error) {
	var list []repository.Reader
	for name, recipient := range h.Config.Recipients {
		list = append(list, repository.Reader{Name: name, Recipient: recipient})
	}
	if len(list) > 0 {
		return list, nil
	}
	recipient, err := recipientOf(h.Config.KeyFile())
	if errors.Is(err, fs.ErrNotExist) || isMissingKey(err) {
		recipient, err = h.makeKey()
		if err == nil {
			h.Log.Info("made a key; move it off this host", "key", h.Config.KeyFile())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("find who can read: %w", err)
	}
	return []repository.Reader{{Name: "backstay.key", Recipient: recipient}}, nil
}

// makeKey makes the key beside backstay.yaml.
func (h *Host) makeKey() (string, error) {
	signer, err := h.signer()
	if err != nil {
		return "", err
	}
	return makeKey(h.Config.KeyFile(), h.Now(), signer.Verifier())
}

func isMissingKey(err error) bool {
	var k *KeyError
	return errors.As(err, &k) && errors.Is(k.Err, fs.ErrNotExist)
}

// anyHolds reports whether one of the stores that can be reached holds the source already.
func anyHolds(ctx context.Context, source string, urls []string, dir string) bool {
	for _, url := range urls {
		s, err := OpenStore(ctx, url, dir)
		if err != nil {
			continue
		}
		if sources, err := repository.Sources(ctx, s); err == nil && slices.Contains(sources, source) {
			return true
		}
	}
	return false
}
