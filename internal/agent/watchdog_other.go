//go:build !linux

package agent

import (
	"errors"
	"os"
	"time"
)

func setWatchdog(*os.File, time.Duration) error { return errors.ErrUnsupported }
