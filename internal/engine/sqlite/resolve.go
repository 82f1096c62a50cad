package sqlite

import (
	"fmt"
	"strconv"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

var _ engine.Resolver = Engine{}

// Resolve turns txid:42 and before-txid:42 into positions.
func (Engine) Resolve(t history.Target) (history.Target, bool, error) {
	if t.Kind != history.Custom || t.Key != "txid" {
		return history.Target{}, false, nil
	}
	n, err := strconv.ParseUint(t.Value, 10, 64)
	if err != nil || n == 0 {
		return history.Target{}, true, fmt.Errorf("read target %s: want a transaction number from 1 on, as in txid:42", t)
	}
	if t.Before {
		n--
	}
	if n == 0 {
		return history.Target{}, true, fmt.Errorf("read target %s: nothing lies before transaction 1", t)
	}
	return history.Target{Kind: history.AtPosition, Position: history.At(0, n)}, true, nil
}

// Targets lists what Resolve knows.
func (Engine) Targets() []string { return []string{"txid", "before-txid"} }
