//go:build unix

package secret

import (
	"fmt"
	"io/fs"
)

// private refuses files that anybody on the host can read.
func private(info fs.FileInfo) error {
	if info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 {
		return fmt.Errorf("everybody on this host can read it (mode %04o); chmod 600 takes that away", info.Mode().Perm())
	}
	return nil
}
