//go:build !linux

package local

import "os"

func move(root *os.Root, temp, name string) error { return linkTo(root, temp, name) }
