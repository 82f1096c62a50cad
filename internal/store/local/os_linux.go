package local

import (
	"errors"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// move prefers rename over link, because FAT and some network file systems have no hard links. It names the folders by
// descriptor, so that no symbolic link made meanwhile leads elsewhere.
func move(root *os.Root, temp, name string) error {
	from, err := root.Open(tempDir)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := root.Open(filepath.FromSlash(path.Dir(name)))
	if err != nil {
		return err
	}
	defer to.Close()
	err = unix.Renameat2(int(from.Fd()), path.Base(temp), int(to.Fd()), path.Base(name), unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return linkTo(root, temp, name)
	}
	return err
}
