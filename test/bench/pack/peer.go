//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"filippo.io/age"
)

// writeKey makes the key that both sides use.
func writeKey(dir string) error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "id"), []byte(id.String()+"\n"), 0o600)
}

func readKey(dir string) (*age.X25519Identity, error) {
	b, err := os.ReadFile(filepath.Join(dir, "id"))
	if err != nil {
		return nil, err
	}
	return age.ParseX25519Identity(strings.TrimSpace(string(b)))
}

func peerStore(dir string) (usage, error) {
	id, err := readKey(dir)
	if err != nil {
		return usage{}, err
	}
	return bash(dir, fmt.Sprintf("tar c -C src . | zstd -q -1 -T2 | age -r %s -o repo/all", id.Recipient()))
}

func peerRestore(dir string) (usage, error) {
	return bash(dir, "age -d -i id repo/all | zstd -q -d | tar x -C out")
}

func peerSize(dir string) (int64, error) {
	info, err := os.Stat(filepath.Join(dir, "repo", "all"))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func bash(dir, script string) (usage, error) {
	return measure(dir, exec.Command("bash", "-euo", "pipefail", "-c", script))
}
