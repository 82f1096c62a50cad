package repository

import (
	"bytes"
	"fmt"
	"io"

	"filippo.io/age"
)

// SealNote seals something small to those who may read the repository, to be listed with PutReport. What it held can be told from the
// outside by its size alone.
func (r *Repository) SealNote(plain []byte) ([]byte, error) {
	recipient, err := age.ParseX25519Recipient(r.ring().current.Recipient)
	if err != nil {
		return nil, fmt.Errorf("seal note of %s: %w", r.source, err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipient)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("seal note of %s: %w", r.source, err)
	}
	return sealed.Bytes(), nil
}

// OpenNote opens what SealNote sealed, before a change of keys too. It takes a reader's key, and at most maxReport bytes.
func (r *Repository) OpenNote(sealed []byte) ([]byte, error) {
	keys := r.ring()
	if keys.secret == nil {
		return nil, &NoKeyError{Source: r.source, Need: "open a note"}
	}
	plain, err := age.Decrypt(bytes.NewReader(sealed), keys.secret.ageIdentities()...)
	if err != nil {
		return nil, fmt.Errorf("open note of %s: %w", r.source, err)
	}
	note, err := io.ReadAll(io.LimitReader(plain, maxReport+1))
	if err == nil && len(note) > maxReport {
		err = fmt.Errorf("it is longer than %d bytes", maxReport)
	}
	if err != nil {
		return nil, fmt.Errorf("open note of %s: %w", r.source, err)
	}
	return note, nil
}
