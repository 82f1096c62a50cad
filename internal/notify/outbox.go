package notify

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/backstaydb/backstay/internal/atomicfile"
)

// outbox is the folder of a notifier: state.json, and one file for each message that waits, named by its number. A
// message counts once the state that says so is durable: what a crash left before that is dropped, and made anew from
// the older state. A message whose file is gone was sent.
type outbox struct{ dir string }

const (
	stateFile   = "state.json"
	messageFile = ".json"
)

// open returns the state and the messages that wait, oldest first. A damaged file is set aside, and named by damage: the
// notifier starts without it, since an alarm that does not start is worse than one that forgot.
func (o outbox) open() (s *State, waiting []*entry, damage, err error) {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, nil, nil, fmt.Errorf("open outbox: %w", err)
	}
	s, damage, err = o.state()
	if err != nil {
		return nil, nil, nil, err
	}
	known := damage == nil
	files, err := os.ReadDir(o.dir)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("open outbox: %w", err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".tmp") {
			err = errors.Join(err, os.Remove(filepath.Join(o.dir, f.Name())))
			continue
		}
		seq, ok := seqOf(f.Name())
		if !ok {
			continue
		}
		if known && seq > s.Seq {
			err = errors.Join(err, os.Remove(o.path(seq)))
			continue
		}
		s.Seq = max(s.Seq, seq)
		e, bad := o.message(seq)
		if bad != nil {
			damage = errors.Join(damage, bad)
			continue
		}
		waiting = append(waiting, e)
	}
	slices.SortFunc(waiting, func(a, b *entry) int { return cmp.Compare(a.seq, b.seq) })
	if err != nil {
		return nil, nil, nil, fmt.Errorf("open outbox: %w", err)
	}
	return s, waiting, damage, nil
}

// state reads state.json. None is an empty state.
func (o outbox) state() (s *State, damage, err error) {
	path := filepath.Join(o.dir, stateFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(), nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open outbox: %w", err)
	}
	s, err = parseState(data)
	if err != nil {
		return newState(), setAside(path, err), nil
	}
	return s, nil, nil
}

// parseState reads a state that save wrote.
func parseState(data []byte) (*State, error) {
	s := &State{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, err
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("version %d is not known here", s.Version)
	}
	for name, m := range s.Matters {
		if m == nil {
			delete(s.Matters, name)
		}
	}
	return s.filled(), nil
}

// message reads one that waits.
func (o outbox) message(seq uint64) (*entry, error) {
	data, err := os.ReadFile(o.path(seq))
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	e := &entry{seq: seq, stored: true}
	if err := json.Unmarshal(data, &e.m); err != nil {
		return nil, setAside(o.path(seq), err)
	}
	return e, nil
}

// save makes messages durable, and then the state that counts them.
func (o outbox) save(s *State, waiting []*entry) error {
	for _, e := range waiting {
		if e.stored {
			continue
		}
		data, err := json.Marshal(e.m)
		if err != nil {
			return fmt.Errorf("write message: %w", err)
		}
		if err := atomicfile.Write(o.path(e.seq), data, 0o600); err != nil {
			return err
		}
		e.stored = true
	}
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write state of notices: %w", err)
	}
	return atomicfile.Write(filepath.Join(o.dir, stateFile), data, 0o600)
}

// remove forgets a message that was sent or given up. If a crash comes first, it is sent again.
func (o outbox) remove(seq uint64) error {
	if err := os.Remove(o.path(seq)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (o outbox) path(seq uint64) string {
	return filepath.Join(o.dir, fmt.Sprintf("%016x%s", seq, messageFile))
}

// seqOf reads the number from the name of a message's file.
func seqOf(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, messageFile)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 16, 64)
	return seq, err == nil
}

// setAside renames a file that cannot be read, so that it can be looked at, and returns what is wrong with it.
func setAside(path string, why error) error {
	err := fmt.Errorf("read %s: %w; it is kept as %s.damaged", filepath.Base(path), why, filepath.Base(path))
	return errors.Join(err, os.Rename(path, path+".damaged"))
}
