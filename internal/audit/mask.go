package audit

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// What looks like a secret. Errors do not hold any as they come; this is the last look before a text is signed for ever.
var (
	userinfo  = regexp.MustCompile(`(://[^/@\s:"']*:)[^@\s"']+@`)
	parameter = regexp.MustCompile(`(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|credential|signature|\bsas|\bsig)[a-z_-]*["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^&\s"',;}]+)`)
	bearer    = regexp.MustCompile(`(?i)\b((?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}`)
	identity  = regexp.MustCompile(`AGE-SECRET-KEY-[0-9A-Z-]*`)
	signing   = regexp.MustCompile(`PRIVATE\+KEY\+\S*`)
	pem       = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`)
	webhook   = regexp.MustCompile(`(https?://hooks\.[^/\s]+/)\S+`)
)

const hidden = "xxxxx"

// mask hides what looks like a secret in s.
func mask(s string) string {
	s = pem.ReplaceAllString(s, hidden)
	s = identity.ReplaceAllString(s, hidden)
	s = signing.ReplaceAllString(s, hidden)
	s = webhook.ReplaceAllString(s, "${1}"+hidden)
	s = userinfo.ReplaceAllString(s, "${1}"+hidden+"@")
	s = bearer.ReplaceAllString(s, "${1}"+hidden)
	return parameter.ReplaceAllString(s, "${1}"+hidden)
}

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
