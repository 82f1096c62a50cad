package engine

import "errors"

// ErrMoved is why a Follow ended of a source that is several servers: another one is to be followed now. Whoever followed connects again at
// once, and waits there for it.
var ErrMoved = errors.New("the log is to be followed at another server of the source")
