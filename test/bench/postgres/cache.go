package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// runHere runs a program as ourselves, outside what is measured.
func (b *bench) runHere(name string, arguments ...string) (measure.Usage, error) {
	return measure.Run(exec.Command(name, arguments...), b.logs)
}

// setCache brings the page cache into a state: all files of the folders in it, or none.
func (b *bench) setCache(state string, dirs ...string) error {
	syncAll()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && !d.Type().IsRegular() {
				return nil
			}
			if err != nil {
				return err
			}
			return touch(path, state)
		})
		if err != nil {
			return fmt.Errorf("prepare the page cache: %w", err)
		}
	}
	return nil
}

func touch(path, state string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if state == "cold" {
		return forget(f)
	}
	_, err = io.Copy(io.Discard, f)
	return err
}
