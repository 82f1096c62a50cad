package wal

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// LSN is a place in the log: the number of bytes before it since the cluster was made.
type LSN uint64

// String prints it as PostgreSQL does: "0/16B3748".
func (l LSN) String() string {
	var b [17]byte
	s := strconv.AppendUint(b[:0], uint64(l)>>32, 16)
	s = append(s, '/')
	s = strconv.AppendUint(s, uint64(l)&0xffffffff, 16)
	for i, c := range s {
		if 'a' <= c && c <= 'f' {
			s[i] = c - 'a' + 'A'
		}
	}
	return string(s)
}

// ParseLSN reads what String and PostgreSQL print.
func ParseLSN(s string) (LSN, error) {
	high, low, ok := strings.Cut(s, "/")
	h, err := parseHalf(high)
	if err != nil || !ok {
		return 0, badLSN(s)
	}
	l, err := parseHalf(low)
	if err != nil {
		return 0, badLSN(s)
	}
	return LSN(h<<32 | l), nil
}

func parseHalf(s string) (uint64, error) {
	if strings.ContainsAny(s, "+-_") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(s, 16, 32)
}

func badLSN(s string) error {
	return fmt.Errorf("parse log position %q: want two hexadecimal numbers, as in 0/16B3748", s)
}

// epoch is midnight of 2000-01-01 UTC, from which PostgreSQL counts its microseconds, in those of Unix.
const epoch = 946684800 * 1_000_000

// Time turns a time stamp of the server, microseconds since 2000-01-01 UTC, into a time.
func Time(stamp int64) time.Time { return time.UnixMicro(stamp + epoch).UTC() }

// Stamp is the inverse of Time.
func Stamp(t time.Time) int64 { return t.UnixMicro() - epoch }
