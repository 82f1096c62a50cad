package ledger

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// maxLeap is how far above the newest checkpoint that counts one may stand that is passed over. Whoever takes the last number that there
// is would end the log.
const maxLeap = 1 << 20

// foreign is a checkpoint that is whole and that a key signed which is not trusted: somebody else's work, and not a damaged piece of ours.
type foreign struct {
	error
	signed []byte // the note
}

// foreigner tells somebody else's checkpoint, whose verification failed with err, from a damaged one of ours: it says what a checkpoint
// of this number must say, and no key that is trusted made its signature, whatever name stands before it.
func (l *Log) foreigner(signed []byte, tail [][]byte, n uint64, err error) error {
	var unverified *note.UnverifiedNoteError
	if _, openErr := note.Open(signed, l.known); !errors.As(openErr, &unverified) || len(unverified.Note.UnverifiedSigs) == 0 {
		return err
	}
	c, parseErr := parseText(unverified.Note.Text)
	if parseErr != nil || l.fits(c, tail, n) != nil {
		return err
	}
	for _, sig := range unverified.Note.UnverifiedSigs {
		raw, err := base64.StdEncoding.DecodeString(sig.Base64)
		if err != nil || len(raw) < hashBytes {
			return err
		}
		for _, v := range l.trusted {
			if v.Verify([]byte(unverified.Note.Text), raw[hashBytes:]) {
				return fmt.Errorf("its signature is wrong: the name or number of the key is not that of the key")
			}
		}
	}
	return &foreign{err, signed}
}

// hashBytes is how long the number of a key is that stands before each signature.
const hashBytes = 4

// PassOver lets the next Append go on above checkpoints that somebody else put there, and returns those; what they say does not count.
// It is a *BlockedError if one of them may be a damaged one of ours, or if one of claimed signed it: verifier keys of those who may have
// a right to, as somebody says who may have one himself.
func (l *Log) PassOver(ctx context.Context, claimed []string) ([]Ignored, error) {
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	defer l.release()
	if err := l.refresh(ctx); err != nil {
		return nil, err
	}
	claimants, err := parseVerifiers(claimed)
	if err != nil {
		return nil, fmt.Errorf("append to ledger %s: %w", l.c.Prefix, err)
	}
	over := l.over
	for _, i := range l.ignored {
		f := l.foreign[i.Object]
		if f == nil || f.number > l.head.Number+maxLeap {
			return nil, &BlockedError{Log: l.c.Prefix, Ignored: i}
		}
		if _, _, err := verifyNote(f.signed, note.VerifierList(claimants...)); err == nil {
			return nil, &BlockedError{Log: l.c.Prefix, Ignored: i}
		}
		over = max(over, f.number)
	}
	l.over = over
	return l.ignored, nil
}

// stranger is a foreign checkpoint above the head.
type stranger struct {
	number uint64
	signed []byte
}

// blocked returns the first checkpoint above the head that is not passed over.
func (l *Log) blocked() (Ignored, bool) {
	for _, i := range l.ignored {
		if f := l.foreign[i.Object]; f == nil || f.number > l.over {
			return i, true
		}
	}
	return Ignored{}, false
}
