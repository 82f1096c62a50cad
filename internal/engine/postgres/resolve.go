package postgres

import (
	"fmt"
	"strconv"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// resolve knows lsn, and how log writes the number of a transaction. Transactions and names are found in the marks of
// the log, which is not the engine's business.
func resolve(t history.Target) (history.Target, bool, error) {
	switch {
	case t.Kind != history.Custom:
		return history.Target{}, false, nil
	case t.Key == "lsn":
		return logPlace(t)
	case t.Key == "xid":
		return transaction(t)
	}
	return history.Target{}, false, nil
}

func logPlace(t history.Target) (history.Target, bool, error) {
	if t.Before {
		return history.Target{}, true, fmt.Errorf("read target %s: lsn:%s is all log before that place already", t, t.Value)
	}
	at, err := wal.ParseLSN(t.Value)
	if err != nil || at == 0 {
		return history.Target{}, true, fmt.Errorf("read target %s: want a place in the log, as in lsn:0/16B3748", t)
	}
	return history.Target{Kind: history.AtPosition, Position: position(0, at)}, true, nil
}

// transaction takes the epoch off a number: pg_current_xact_id and txid_current count on where the numbers in the log,
// of 32 bits, begin anew.
func transaction(t history.Target) (history.Target, bool, error) {
	n, err := strconv.ParseUint(t.Value, 10, 64)
	if err != nil || uint32(n) == 0 {
		return history.Target{}, true, fmt.Errorf("read target %s: want a transaction number, as in xid:731", t)
	}
	t.Value = strconv.FormatUint(uint64(uint32(n)), 10)
	return t, true, nil
}
