package config

import (
	"regexp"
	"strconv"
)

// plain are strings that YAML reads as themselves inside braces and brackets too.
var plain = regexp.MustCompile(`^[A-Za-z./][A-Za-z0-9./_-]*$`)

// reserved are plain words that YAML reads as something else than a string.
var reserved = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|y|n|null|\.inf|\.nan)$`)

// quote writes a string as a YAML scalar.
func quote(s string) string {
	if plain.MatchString(s) && !reserved.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}
