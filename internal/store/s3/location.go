package s3

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/store"
)

// Location says where a bucket is and how to talk to it. It holds no credentials.
type Location struct {
	Bucket    string
	Prefix    string        // of all names, without slashes at its ends; empty for the whole bucket
	Endpoint  string        // http or https URL of an S3-compatible server; empty for AWS
	Region    string        // empty: from the AWS environment or configuration, else us-east-1
	Profile   string        // section of the AWS configuration files; empty: the environment's choice
	PathStyle bool          // the bucket stands in the path, not in the host name
	LockMode  string        // COMPLIANCE or GOVERNANCE
	Timeout   time.Duration // for a request that moves no bytes
}

const defaultTimeout = 30 * time.Second

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// options are what may stand behind the question mark of a URL.
var options = map[string]func(l *Location, value string) error{
	"endpoint":   (*Location).setEndpoint,
	"region":     func(l *Location, v string) error { l.Region = v; return nil },
	"profile":    func(l *Location, v string) error { l.Profile = v; return nil },
	"path_style": func(l *Location, v string) (err error) { l.PathStyle, err = strconv.ParseBool(v); return err },
	"lock_mode":  (*Location).setLockMode,
	"timeout":    (*Location).setTimeout,
}

// ParseURL reads s3://bucket/prefix?endpoint=…&region=…&path_style=…&profile=…&lock_mode=…&timeout=…. With an endpoint
// the bucket stands in the path unless path_style=false says otherwise. No error repeats a value that may be secret.
func ParseURL(raw string) (Location, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The parser's own message repeats the URL.
		return Location{}, &urlError{reason: "not a URL"}
	}
	if u.Scheme != "s3" || u.Opaque != "" || u.Fragment != "" {
		return Location{}, &urlError{reason: "not of the form s3://bucket/prefix"}
	}
	if u.User != nil || strings.Contains(u.Host, "@") {
		return Location{}, credentialsError()
	}
	l := Location{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), LockMode: "COMPLIANCE", Timeout: defaultTimeout}
	if !bucketName.MatchString(l.Bucket) {
		return Location{}, &urlError{reason: fmt.Sprintf("%q is no bucket name", l.Bucket)}
	}
	if l.Prefix != "" && store.ValidName(l.Prefix) != nil {
		return Location{}, &urlError{reason: fmt.Sprintf("prefix %q has characters other than A-Z a-z 0-9 . _ = - /", l.Prefix)}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Location{}, &urlError{reason: "options after the question mark cannot be read"}
	}
	l.PathStyle = query.Get("endpoint") != ""
	for name, values := range query {
		if err := l.set(name, values); err != nil {
			return Location{}, err
		}
	}
	return l, nil
}

func (l *Location) set(name string, values []string) error {
	apply, known := options[name]
	switch {
	case !known && looksSecret(name):
		return credentialsError()
	case !known:
		names := make([]string, 0, len(options))
		for n := range options {
			names = append(names, n)
		}
		slices.Sort(names)
		return &urlError{reason: fmt.Sprintf("unknown option %q", name), hint: "the options are " + strings.Join(names, ", ")}
	case len(values) != 1 || values[0] == "":
		return &urlError{reason: fmt.Sprintf("option %s needs one value", name)}
	}
	err := apply(l, values[0])
	if _, ours := err.(*urlError); err != nil && !ours {
		return &urlError{reason: fmt.Sprintf("option %s has a value that it cannot have", name)}
	}
	return err
}

func (l *Location) setEndpoint(v string) error {
	u, err := url.Parse(v)
	if err == nil && u.User != nil {
		return credentialsError()
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return &urlError{reason: "endpoint is not of the form http://host:port"}
	}
	l.Endpoint = u.Scheme + "://" + u.Host
	return nil
}

func (l *Location) setLockMode(v string) error {
	l.LockMode = strings.ToUpper(v)
	if l.LockMode != "COMPLIANCE" && l.LockMode != "GOVERNANCE" {
		return &urlError{reason: "lock_mode is neither compliance nor governance"}
	}
	return nil
}

func (l *Location) setTimeout(v string) error {
	d, err := time.ParseDuration(v)
	if err != nil || d < time.Second || d > time.Hour {
		return &urlError{reason: "timeout is not between 1s and 1h"}
	}
	l.Timeout = d
	return nil
}

// String names the location for people: "s3://bucket/prefix".
func (l Location) String() string {
	if l.Prefix == "" {
		return "s3://" + l.Bucket
	}
	return "s3://" + l.Bucket + "/" + l.Prefix
}

func looksSecret(option string) bool {
	option = strings.ToLower(option)
	for _, word := range []string{"key", "secret", "token", "password", "credential"} {
		if strings.Contains(option, word) {
			return true
		}
	}
	return false
}

// urlError is a store URL that cannot be used. It wraps nothing, so that nothing of the URL comes with it.
type urlError struct{ reason, hint string }

func (e *urlError) Error() string { return "store URL: " + e.reason }
func (e *urlError) Hint() string {
	if e.hint == "" {
		return "write s3://bucket/prefix, and for a server other than AWS ?endpoint=https://host:port"
	}
	return e.hint
}

func credentialsError() error {
	return &urlError{
		reason: "credentials do not belong into it",
		hint:   "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a section of the AWS configuration with ?profile=NAME",
	}
}
