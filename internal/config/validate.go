package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"filippo.io/age"
)

const secretAdvice = "give it to the process that runs backstay instead: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or ~/.aws for S3, ~/.pgpass for PostgreSQL"

// validNames are names that can stand in a path, an object name and a shell command without quotes.
var validNames = regexp.MustCompile(`^[a-z0-9A-Z][a-z0-9A-Z_=-]*(\.[a-z0-9A-Z_=-]+)*$`)

// ValidName reports whether name can name a source or a repository.
func ValidName(name string) bool { return len(name) <= 64 && validNames.MatchString(name) }

// validate checks what the types cannot say.
func (p *parser) validate(c *Config) error {
	for _, name := range c.RepositoryNames() {
		if err := p.repository(c, name); err != nil {
			return err
		}
	}
	for _, name := range c.ClassNames() {
		if err := p.name("classes", name); err != nil {
			return err
		}
		if err := p.promises(c, c.Classes[name].Promise, "classes", name); err != nil {
			return err
		}
	}
	for _, name := range c.SourceNames() {
		if err := p.source(c, name); err != nil {
			return err
		}
	}
	for _, name := range sorted(c.Recipients) {
		if err := p.recipient(c, name); err != nil {
			return err
		}
	}
	if c.Trace != nil {
		if err := p.noSecret(c.Trace.OTLP, "trace", "otlp"); err != nil {
			return err
		}
	}
	if err := p.clusters(c); err != nil {
		return err
	}
	if err := p.clusterSources(c); err != nil {
		return err
	}
	return p.receivers(c)
}

func (p *parser) name(group, name string) error {
	if ValidName(name) {
		return nil
	}
	tok, _ := p.find(group, name)
	return p.at(tok, fmt.Sprintf("name %q", name), "names hold letters, digits, and - _ = . inside, at most 64 of them")
}

func (p *parser) repository(c *Config, name string) error {
	if err := p.name("repositories", name); err != nil {
		return err
	}
	if c.Repositories[name].Store == "" {
		tok, _ := p.find("repositories", name)
		return p.at(tok, fmt.Sprintf("repository %s has no store", name), "add store: ./repo or store: s3://bucket/prefix")
	}
	return p.noSecret(c.Repositories[name].Store, "repositories", name, "store")
}

func (p *parser) source(c *Config, name string) error {
	if err := p.name("sources", name); err != nil {
		return err
	}
	s := c.Sources[name]
	tok, _ := p.find("sources", name)
	if s.URL == "" {
		return p.at(tok, fmt.Sprintf("source %s has no url", name), "add url: sqlite:./app.db")
	}
	if scheme, _, ok := strings.Cut(s.URL, ":"); !ok || scheme == "" {
		_, n := p.find("sources", name, "url")
		return p.at(n.GetToken(), fmt.Sprintf("url %q does not say what it is", mask(s.URL)), "put the kind in front, as in sqlite:"+mask(s.URL))
	}
	if err := p.noSecret(s.URL, "sources", name, "url"); err != nil {
		return err
	}
	if _, ok := c.Classes[s.Class]; s.Class != "" && !ok {
		tok, _ := p.find("sources", name, "class")
		return p.at(tok, fmt.Sprintf("source %s is of class %q, which is not in this file", name, s.Class), suggest(s.Class, c.ClassNames()))
	}
	if err := p.promises(c, s.Promise, "sources", name); err != nil {
		return err
	}
	if err := p.whole(c, name); err != nil {
		return err
	}
	if !slices.Contains([]Ack{"", AckSpool, AckRepository}, s.Ack) {
		_, n := p.find("sources", name, "ack")
		return p.at(n.GetToken(), fmt.Sprintf("ack %q", s.Ack), suggest(string(s.Ack), []string{string(AckSpool), string(AckRepository)}))
	}
	return nil
}

func (p *parser) recipient(c *Config, name string) error {
	if err := p.name("recipients", name); err != nil {
		return err
	}
	if _, err := age.ParseX25519Recipient(c.Recipients[name]); err == nil {
		return nil
	}
	tok, _ := p.find("recipients", name)
	e := p.at(tok, fmt.Sprintf("recipient %s is not an age recipient", name), "a recipient begins with age1 and is printed by age-keygen, or by backstay key show")
	if strings.HasPrefix(c.Recipients[name], "AGE-SECRET-KEY") {
		e.Message, e.Excerpt = fmt.Sprintf("recipient %s is a secret key", name), ""
		e.Advice = "put its public half here (age-keygen -y FILE prints it), and take that key out of use if others could read this file"
	}
	return e
}

func (p *parser) noSecret(value string, path ...string) error {
	what := secretIn(value)
	if what == "" {
		return nil
	}
	tok, _ := p.find(path...)
	return p.at(tok, fmt.Sprintf("%s carries %s; no secret stands in this file", strings.Join(path, "."), what), secretAdvice)
}

// RefuseSecret says so if a URL from a command line carries a secret.
func RefuseSecret(url string) error {
	if what := secretIn(url); what != "" {
		return &Error{File: "URL", Message: fmt.Sprintf("%s carries %s", mask(url), what), Advice: secretAdvice}
	}
	return nil
}
