package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// The server asks for each file of the log by restore_command, one after the other. The command is plain shell: it
// writes the name to one pipe and reads from another what to do. This process holds the other ends; no program of ours
// is started, nothing is polled, and a restore that died is noticed as the end of a file.
//
//	server ── sh: echo NAME >&4 ──▶ serve ── y FILE ──▶ sh: mv FILE to where the server wants it, exit 0
//	                                      ── n ───────▶ exit 1: the log ends before this file
//	                                      ── anything else, or nothing any more ──▶ exit 200
//
// An exit code over 125 ends recovery instead of promoting a shortened cluster (RestoreArchivedFile in xlogarchive.c).

// serveFolder is where the files stand ready, in the data directory so that a rename brings them into its log.
const serveFolder = ".backstay-log"

// restoreCommand is what the server runs. It runs it in the data directory.
const restoreCommand = `echo %f >&4 && read -r a n <&3 && case $a in (y) mv -f ` + serveFolder + `/$n %p && exit 0;; (n) exit 1;; esac; exit 200`

// service answers what the server asks for.
type service struct {
	filler    *filler
	histories map[uint32][]byte // history files, by timeline
	taken     uint32            // timelines up to it are not for the server to choose

	requests, answers *os.File   // our ends
	theirs            []*os.File // those of the server: answers, requests
}

// open makes the pipes.
func (s *service) open() error {
	answers, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	requests, theirs, err := os.Pipe()
	if err != nil {
		return errors.Join(err, answers.Close(), ours.Close())
	}
	s.requests, s.answers, s.theirs = requests, ours, []*os.File{answers, theirs}
	return nil
}

// started closes the server's ends here, so that they end with it.
func (s *service) started() error {
	var err error
	for _, f := range s.theirs {
		err = errors.Join(err, f.Close())
	}
	s.theirs = nil
	return err
}

// hangUp tells whoever waits for an answer that there is nobody any more.
func (s *service) hangUp() error {
	if err := s.answers.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// close gives all pipes up.
func (s *service) close() error {
	return errors.Join(s.started(), s.hangUp(), s.requests.Close())
}

// run answers until the server has ended, or close is called. ctx ends only what takes time.
func (s *service) run(ctx context.Context) error {
	lines := bufio.NewScanner(s.requests)
	for lines.Scan() {
		answer, err := s.answer(ctx, lines.Text())
		if err != nil {
			// Nobody must take this for the end of the log.
			_, _ = fmt.Fprintln(s.answers, "f") // the error is returned
			return err
		}
		if _, err := fmt.Fprintln(s.answers, answer); err != nil {
			return nil // whoever asked is gone; how the server ended says why
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("hear what the server asks for: %w", err)
	}
	return nil
}

// none says that there is no such file, for certain.
const none = "n"

func (s *service) answer(ctx context.Context, name string) (string, error) {
	if strings.HasSuffix(name, ".history") {
		return s.answerHistory(name)
	}
	_, start, err := wal.ParseSegmentName(name, s.filler.line.size)
	if err != nil || s.filler.line.name(start) != name || start < s.filler.line.begin.SegmentStart(s.filler.line.size) {
		return none, nil
	}
	file, where, err := s.filler.shelf.take(ctx, start)
	if err == nil && where == elsewhere {
		if start >= s.filler.line.goal {
			return none, nil
		}
		file, err = s.filler.once(ctx, start)
	}
	if err != nil {
		return "", fmt.Errorf("serve %s: %w", name, err)
	}
	if where == nowhere {
		return none, nil
	}
	return "y " + file, nil
}

// answerHistory gives the history files that there are. For a timeline that the source is known to have, but that is
// not on the way, it gives an empty one: the server looks only whether the number is free.
func (s *service) answerHistory(name string) (string, error) {
	timeline, err := wal.ParseHistoryName(name)
	if err != nil {
		return none, nil
	}
	text, ok := s.histories[timeline]
	if !ok && (timeline <= s.filler.line.timeline() || timeline > s.taken) {
		return none, nil
	}
	path := filepath.Join(s.filler.dir, name)
	if err := os.WriteFile(path, text, fs.FileMode(0o600)); err != nil {
		return "", fmt.Errorf("serve %s: %w", name, err)
	}
	if err := s.filler.user.Give(path); err != nil {
		return "", err
	}
	return "y " + name, nil
}
