package proxy

import "errors"

// polled is false: Windows completes reads into a buffer that must be given before.
const polled = false

func readSome(uintptr, []byte) (int, bool, error) { return 0, false, errors.ErrUnsupported }

func writeSome(uintptr, []byte) (int, bool, error) { return 0, false, errors.ErrUnsupported }
