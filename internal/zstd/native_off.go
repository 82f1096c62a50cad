//go:build !(cgo && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64)))

package zstd

// Native reports whether libzstd is linked in.
const Native = false

func newEncoder() encoder { return newPureEncoder() }
func newDecoder() decoder { return newPureDecoder() }
