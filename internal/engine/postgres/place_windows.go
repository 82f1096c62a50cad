package postgres

import (
	"path/filepath"
	"strings"
)

// onOneDisk reports whether two folders are known to lie on one volume.
func onOneDisk(a, b string) bool {
	return filepath.IsAbs(a) && strings.EqualFold(filepath.VolumeName(a), filepath.VolumeName(b))
}
