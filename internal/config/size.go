package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes. It is written as in "10GiB", "500MB" or "1048576".
type Size int64

// sizeUnits, the longest first so that "B" does not hide "GiB".
var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

// ParseSize reads a size.
func ParseSize(s string) (Size, error) {
	number, unit := strings.TrimSpace(s), 1.0
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n >= 0) || n*unit > 1<<62 {
		return 0, fmt.Errorf("parse size %q: want a number and a unit, as in 10GiB or 500MB", s)
	}
	return Size(n * unit), nil
}

// UnmarshalText reads what a person wrote.
func (s *Size) UnmarshalText(b []byte) error {
	n, err := ParseSize(string(b))
	if err != nil {
		return err
	}
	*s = n
	return nil
}

// MarshalText writes bytes in the largest binary unit that divides them.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Size) String() string {
	for _, u := range sizeUnits[:4] {
		if unit := int64(u.bytes); s != 0 && int64(s)%unit == 0 {
			return strconv.FormatInt(int64(s)/unit, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}
