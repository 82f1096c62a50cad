package audit

import (
	"strings"
	"unicode/utf8"

	"github.com/backstaydb/backstay/internal/secret"
)

// mask is the last look before a text is signed for ever.
func mask(s string) string { return secret.Mask(s) }

const ellipsis = "…"

// cut returns s as UTF-8 of at most limit bytes.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	end := limit - len(ellipsis)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
