//go:build !linux

package sqlite

import "os"

// readCached is only for systems that can tell what their page cache holds.
func readCached(*os.File, []byte, int64) bool { return false }
