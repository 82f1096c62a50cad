//go:build unix

package postgres

import (
	"os"
	"path/filepath"
	"syscall"
)

// takeOver gives the folder of a data directory, and links in it, to the owner of its files.
func takeOver(dir string) error {
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(dir, "PG_VERSION"))
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	links, err := filepath.Glob(filepath.Join(dir, linksFolder, "*"))
	if err != nil {
		return err
	}
	for _, path := range append(links, dir) {
		if err := os.Lchown(path, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return nil
}
