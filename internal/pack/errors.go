package pack

import (
	"fmt"

	"github.com/backstaydb/backstay/internal/store"
)

// CorruptError says that an object does not hold what it must. Its Object is the name that the caller gave.
type CorruptError = store.CorruptError

// corrupt builds a CorruptError without digests.
func corrupt(object string, err error, format string, args ...any) *CorruptError {
	return &CorruptError{Object: object, Detail: fmt.Sprintf(format, args...), Err: err}
}
