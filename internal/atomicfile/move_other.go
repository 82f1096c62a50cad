//go:build !linux

package atomicfile

func moveNew(temp, path string) error { return link(temp, path) }
