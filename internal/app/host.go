package app

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
)

// Host is one folder with its backstay.yaml and this host's state.
type Host struct {
	Config *config.Config
	Log    *slog.Logger
	Now    func() time.Time

	lines *lines // nil: this process keeps to no limits
}

// NewHost returns the host of a configuration.
func NewHost(cfg *config.Config, log *slog.Logger) *Host {
	return &Host{Config: cfg, Log: log, Now: time.Now}
}

// State is the folder that keeps this host's state.
func (h *Host) State() string { return h.Config.StateDir() }

// sourceState is a path in the state of one source.
func (h *Host) sourceState(source string, elem ...string) string {
	return filepath.Join(append([]string{h.State(), source}, elem...)...)
}

// signer is the key that this host signs with; it is made when it is first needed.
func (h *Host) signer() (*ledger.Signer, error) {
	if err := os.MkdirAll(h.State(), 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	return ledger.OpenSigner(filepath.Join(h.State(), "signer"), signerName())
}

// signerName is this host's name, in letters that a note's key may have.
func signerName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "host"
	}
	return "backstay-" + strings.Map(func(r rune) rune {
		if r == '+' || r <= ' ' || r > '~' {
			return '-'
		}
		return r
	}, name)
}

// seen remembers the last checkpoint of one repository.
func (h *Host) seen(source, repo string) repository.Seen {
	return repository.SeenFile(h.sourceState(source, "seen", repo))
}

// trusted are the verifier keys that this host pinned for a source; none before it saw a repository of it.
func (h *Host) trusted(source string) ([]string, error) {
	data, err := os.ReadFile(h.sourceState(source, "trusted"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read pinned keys: %w", err)
	}
	return strings.Fields(string(data)), nil
}

// errNoReader says that a key is needed that can read.
var errNoReader = errors.New("this host has no key that can read the repositories")

// reader is the key at hand, which can read; errNoReader if there is none.
func (h *Host) reader() (Key, error) {
	key, err := h.key("")
	if err == nil && len(key.Identities) == 0 {
		err = errNoReader
	}
	return key, err
}

// key reads the key at hand: keyFile if it is given, else backstay.key if it is there, else none.
func (h *Host) key(keyFile string) (Key, error) {
	if keyFile == "" {
		keyFile = h.Config.KeyFile()
		if _, err := os.Stat(keyFile); errors.Is(err, fs.ErrNotExist) {
			return Key{}, nil
		}
	}
	return ReadKey(keyFile)
}
