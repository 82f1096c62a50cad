package postgres

import (
	"path/filepath"
	"strings"
)

// onOneDisk reports whether two folders are known to lie on one volume.
func onOneDisk(a, b string) bool {
	return filepath.IsAbs(a) && strings.EqualFold(filepath.VolumeName(a), filepath.VolumeName(b))
}

// freeBytes is not known here.
func freeBytes(string) int64 { return 0 }
