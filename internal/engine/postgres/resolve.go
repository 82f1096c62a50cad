package postgres

import (
	"fmt"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// resolve knows lsn alone. Transactions and names are found in the marks of the log, which is not the engine's
// business.
func resolve(t history.Target) (history.Target, bool, error) {
	if t.Kind != history.Custom || t.Key != "lsn" {
		return history.Target{}, false, nil
	}
	if t.Before {
		return history.Target{}, true, fmt.Errorf("read target %s: lsn:%s is all log before that place already", t, t.Value)
	}
	at, err := wal.ParseLSN(t.Value)
	if err != nil || at == 0 {
		return history.Target{}, true, fmt.Errorf("read target %s: want a place in the log, as in lsn:0/16B3748", t)
	}
	return history.Target{Kind: history.AtPosition, Position: position(0, at)}, true, nil
}
