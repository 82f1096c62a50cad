package config

import (
	"net/url"
	"regexp"
	"strings"
)

// secretKeys are parameters and keys whose values are secrets wherever they stand.
var secretKeys = []string{"password", "passwd", "secret", "token", "access_key", "secret_key", "access-key", "secret-key", "aws_secret_access_key", "credential", "sas", "sig"}

var (
	userinfo  = regexp.MustCompile(`(://[^/@\s:"']*:)[^@\s"']+@`)
	parameter = regexp.MustCompile(`(?i)((?:password|passwd|secret|token|access[_-]?key|secret[_-]?key|credential|sas|sig)[a-z_-]*\s*[:=]\s*)[^&\s"',}]+`)
	identity  = regexp.MustCompile(`AGE-SECRET-KEY-1[0-9A-Z]*`)
)

// mask hides what looks like a secret, so an excerpt may be shown and mailed.
func mask(line string) string {
	line = userinfo.ReplaceAllString(line, "${1}xxxxx@")
	line = parameter.ReplaceAllString(line, "${1}xxxxx")
	return identity.ReplaceAllString(line, "AGE-SECRET-KEY-xxxxx")
}

// secretIn names the secret that a URL carries, "" if it carries none.
func secretIn(raw string) string {
	if identity.MatchString(raw) {
		return "a secret key"
	}
	if userinfo.MatchString(raw) {
		return "a password"
	}
	_, query, _ := strings.Cut(raw, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	for key := range values {
		if isSecretKey(key) {
			return "the parameter " + key
		}
	}
	return ""
}

func isSecretKey(key string) bool {
	key = strings.ToLower(key)
	for _, k := range secretKeys {
		if key == k || strings.HasSuffix(key, "_"+k) || strings.HasSuffix(key, "-"+k) {
			return true
		}
	}
	return false
}
