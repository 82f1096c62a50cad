package secret

import "regexp"

// What looks like a secret.
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

// Mask hides what looks like a secret in a text that somebody else wrote, before it is shown or kept. It is a last look: our own errors
// hold none as they come.
func Mask(s string) string {
	s = pem.ReplaceAllString(s, hidden)
	s = identity.ReplaceAllString(s, hidden)
	s = signing.ReplaceAllString(s, hidden)
	s = webhook.ReplaceAllString(s, "${1}"+hidden)
	s = userinfo.ReplaceAllString(s, "${1}"+hidden+"@")
	s = bearer.ReplaceAllString(s, "${1}"+hidden)
	return parameter.ReplaceAllString(s, "${1}"+hidden)
}
