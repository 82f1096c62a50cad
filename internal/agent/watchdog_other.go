//go:build !linux

package agent

import (
	"errors"
	"os"
	"time"
)

func setWatchdog(*os.File, time.Duration) (time.Duration, error) { return 0, errors.ErrUnsupported }

func mayWrite(string) error { return errors.ErrUnsupported }
