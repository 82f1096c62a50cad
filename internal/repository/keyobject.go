package repository

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

// maxKeyObject is the largest key object that is read, in bytes.
const maxKeyObject = 8 << 20

// Reader is somebody whose key opens the repository.
type Reader struct {
	Name      string `json:"name"`
	Recipient string `json:"recipient"` // age1…
}

// statement is the first line of a key object.
type statement struct {
	Format    int       `json:"format"`
	Number    int       `json:"number"`
	Source    string    `json:"source"`
	Engine    string    `json:"engine"`
	SystemID  string    `json:"system_id,omitempty"`
	Created   time.Time `json:"created"`
	Recipient string    `json:"recipient"` // that new packs are sealed to
	Readers   []Reader  `json:"readers"`
	Signers   []string  `json:"signers"` // verifier keys
	Wrapped   []byte    `json:"wrapped"` // age file: the Secret
}

// seals is the second line of a key object: what shows who made it.
type seals struct {
	MAC       []byte `json:"mac"`
	Signature string `json:"signature"` // signed note over the digest of the first line
}

// keyObject is one key object as read or made.
type keyObject struct {
	statement
	seals
	line []byte // the statement as it is authenticated
	raw  []byte // the object
	name string // that it was read under, relative to the source
}

// keyFolders hold the same: without its key objects a repository is lost, so that each is there twice.
var keyFolders = []string{"key/", "key-copy/"}

// keyNames are the names of the two copies of a key object, relative to the source.
func keyNames(number int) []string {
	var names []string
	for _, folder := range keyFolders {
		names = append(names, fmt.Sprintf("%s%06d", folder, number))
	}
	return names
}

// putKeyObject stores both copies. It returns fs.ErrExist if the first is taken.
func putKeyObject(ctx context.Context, s store.Store, k *keyObject) error {
	if err := putBytes(ctx, s, k.Source+"/"+keyNames(k.Number)[0], k.raw); err != nil {
		return err
	}
	return putKeyCopy(ctx, s, k)
}

// putKeyCopy stores the second copy, or finds it there.
func putKeyCopy(ctx context.Context, s store.Store, k *keyObject) error {
	name := k.Source + "/" + keyNames(k.Number)[1]
	err := putBytes(ctx, s, name, k.raw)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	stands, err := store.ReadAll(ctx, s, name, maxKeyObject)
	if err == nil && !bytes.Equal(stands, k.raw) {
		err = &CorruptError{Object: name, Detail: "another object stands there"}
	}
	return err
}

// noteText is what a signer signs.
func noteText(source string, number int, line []byte) string {
	return fmt.Sprintf("backstay/v0 key %s\n%d\n%x\n", source, number, sha256.Sum256(line))
}

// makeKeyObject seals a statement. id is the newest identity of the key object before it; of the first, its own.
func makeKeyObject(s statement, secret *Secret, id *age.X25519Identity, signer *ledger.Signer) (*keyObject, error) {
	wrapped, err := secret.wrap(s.Readers)
	if err != nil {
		return nil, err
	}
	s.Recipient, s.Wrapped = secret.recipient(), wrapped
	k := &keyObject{statement: s}
	if k.line, err = json.Marshal(s); err != nil {
		return nil, fmt.Errorf("encode key object: %w", err)
	}
	if k.MAC, err = mac(id, k.line); err != nil {
		return nil, fmt.Errorf("authenticate key object: %w", err)
	}
	signature, err := signer.Sign(noteText(s.Source, s.Number, k.line))
	if err != nil {
		return nil, err
	}
	k.Signature = string(signature)
	second, err := json.Marshal(k.seals)
	if err != nil {
		return nil, fmt.Errorf("encode key object: %w", err)
	}
	k.raw = fmt.Appendf(nil, "%s\n%s\n", k.line, second)
	return k, nil
}

// parseKeyObject reads the object of a source; number 0 takes any.
func parseKeyObject(raw []byte, source string, number int) (*keyObject, error) {
	line, rest, ok := bytes.Cut(raw, []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("parse key object: it has one line, not two")
	}
	k := &keyObject{line: line, raw: raw}
	if err := json.Unmarshal(line, &k.statement); err != nil {
		return nil, fmt.Errorf("parse key object: statement: %w", err)
	}
	if err := json.Unmarshal(rest, &k.seals); err != nil {
		return nil, fmt.Errorf("parse key object: seals: %w", err)
	}
	switch {
	case k.Format != 0:
		return nil, fmt.Errorf("parse key object: format %d is not known to this version", k.Format)
	case k.Source != source:
		return nil, fmt.Errorf("parse key object: it belongs to %q", k.Source)
	case k.Number < 1 || number > 0 && k.Number != number:
		return nil, fmt.Errorf("parse key object: it says that its number is %d", k.Number)
	case !strings.HasPrefix(k.Signature, noteText(k.Source, k.Number, line)+"\n"):
		return nil, fmt.Errorf("parse key object: it is not as it was signed")
	case !strings.HasPrefix(k.Recipient, "age1"):
		return nil, fmt.Errorf("parse key object: %q is no recipient", k.Recipient)
	}
	return k, nil
}

// hasMAC reports whether the object was made by somebody who holds id.
func (k *keyObject) hasMAC(id *age.X25519Identity) bool {
	want, err := mac(id, k.line)
	return err == nil && hmac.Equal(want, k.MAC)
}

// signedBy reports whether one of the keys signed the object.
func (k *keyObject) signedBy(verifiers []string) bool {
	text, _, err := ledger.VerifyNote([]byte(k.Signature), verifiers)
	return err == nil && text == noteText(k.Source, k.Number, k.line)
}
