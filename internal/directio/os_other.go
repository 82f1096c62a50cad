//go:build !linux

package directio

import "os"

// Elsewhere files are read and written through the page cache.
const directFlag = 0

func refused(error) bool { return false }

func dropCache(*os.File, int64, int64) {}

func cached(*os.File, int64, int64) bool { return false }

func flushCache(*os.File, int64, int64) {}

func reserve(*os.File, int64) error { return nil }
