//go:build !linux

package agent

import (
	"errors"
	"fmt"
)

func bootID() (uint64, error) {
	return 0, fmt.Errorf("no clock of this system counts suspended time for all processes alike: %w", errors.ErrUnsupported)
}

func share(string, int) ([]byte, func() error, error) { return nil, nil, errors.ErrUnsupported }
