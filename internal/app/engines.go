package app

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/mysql"
	"github.com/backstaydb/backstay/internal/engine/postgres"
	"github.com/backstaydb/backstay/internal/engine/redis"
	"github.com/backstaydb/backstay/internal/engine/sqlite"
	"github.com/backstaydb/backstay/internal/engine/tcp"
)

// engines is the table of what can be protected.
var engines = []struct {
	engine  engine.Engine
	form    string // of the URL
	about   string
	isLocal bool // the URL is a path, relative to backstay.yaml
}{
	{sqlite.Engine{}, "sqlite:FILE", "SQLite 3, in WAL and rollback-journal mode, while any process writes it", true},
	{postgres.Engine{}, "postgres://USER@HOST:PORT", "PostgreSQL 12 to 18, a whole server, over its replication protocol", false},
	{mysql.Engine{}, "mysql://USER@HOST:PORT", "MySQL and MariaDB, as members of a cluster that somebody else manages", false},
	{redis.Engine{}, "redis://HOST:PORT", "Redis and Valkey, as members of a cluster that somebody else manages", false},
	{tcp.Engine{}, "tcp://HOST:PORT", "any service, as a member of a cluster: clients are led to the first that takes connections, and answers ?send= with ?expect= where those stand in the URL", false},
}

// EngineInfo says what one engine can do.
type EngineInfo struct {
	Kind    string   `json:"kind" doc:"scheme of its URLs"`
	URL     string   `json:"url" doc:"form of its URLs"`
	About   string   `json:"about" doc:"for people"`
	Can     []string `json:"can" doc:"protect, restore, drill, condense, member (clients can be led to it)"`
	Targets []string `json:"targets" doc:"its own recovery targets, besides latest, times and positions"`
}

// Engines lists the engines.
func Engines() []EngineInfo {
	var infos []EngineInfo
	for _, e := range engines {
		info := EngineInfo{Kind: e.engine.Kind(), URL: e.form, About: e.about, Can: []string{}, Targets: []string{}}
		if _, ok := e.engine.(engine.Protector); ok {
			info.Can = append(info.Can, "protect")
		}
		if _, ok := e.engine.(engine.Restorer); ok {
			info.Can = append(info.Can, "restore")
		}
		if _, ok := e.engine.(engine.Launcher); ok {
			info.Can = append(info.Can, "drill")
		}
		if _, ok := e.engine.(engine.Condenser); ok {
			info.Can = append(info.Can, "condense")
		}
		if _, ok := e.engine.(engine.Member); ok {
			info.Can = append(info.Can, "member")
		}
		if r, ok := e.engine.(engine.Resolver); ok {
			info.Targets = r.Targets()
		}
		infos = append(infos, info)
	}
	return infos
}

// engineOf finds the engine of a kind.
func engineOf(kind string) (engine.Engine, error) {
	for _, e := range engines {
		if e.engine.Kind() == kind {
			return e.engine, nil
		}
	}
	return nil, &config.Error{File: "URL", Message: fmt.Sprintf("no engine is called %q", kind), Advice: "engines: " + strings.Join(kinds(), ", ") + `; "backstay engines" says what each can do`}
}

func kinds() []string {
	var names []string
	for _, e := range engines {
		names = append(names, e.engine.Kind())
	}
	return names
}

// protectorOf finds the engine of a URL in a file, and gives the URL with its path made absolute.
func protectorOf(url string, cfg *config.Config) (engine.Protector, string, error) {
	kind, rest, ok := strings.Cut(url, ":")
	if !ok {
		return nil, "", &config.Error{File: "URL", Message: fmt.Sprintf("%q does not say what it is", url), Advice: "put the kind in front, as in sqlite:" + url}
	}
	if name := config.ClusterOf(url); name != "" {
		g, err := groupOf(name, cfg)
		return g, url, err
	}
	e, err := engineOf(kind)
	if err != nil {
		return nil, "", err
	}
	p, ok := e.(engine.Protector)
	if !ok {
		return nil, "", &config.Error{File: "URL", Message: fmt.Sprintf("engine %s cannot protect", kind), Advice: "its servers can be members of a cluster; \"backstay engines\" says what each can do"}
	}
	for _, known := range engines {
		if known.isLocal && known.engine.Kind() == e.Kind() && rest != "" && !filepath.IsAbs(rest) && !strings.HasPrefix(rest, ":") {
			rest = filepath.Join(cfg.Dir(), rest)
		}
	}
	return p, kind + ":" + rest, nil
}

// kindOf is the kind of engine that a source of a file has.
func kindOf(url string, cfg *config.Config) string {
	if e, _, err := protectorOf(url, cfg); err == nil {
		return e.Kind()
	}
	return schemeOnly(url)
}

// otherKinds are schemes that mean an engine of another name.
var otherKinds = map[string]string{"postgresql": "postgres", "mariadb": "mysql", "rediss": "redis", "valkey": "redis"}

// lookerOf finds who asks the server behind a URL.
func lookerOf(url string) (engine.Looker, error) {
	kind, _, _ := strings.Cut(url, ":")
	e, err := engineOf(cmp.Or(otherKinds[kind], kind))
	if err != nil {
		return nil, err
	}
	m, ok := e.(engine.Member)
	if !ok {
		return nil, &config.Error{File: "URL", Message: fmt.Sprintf("engine %s has no servers that clients could be led to", kind)}
	}
	return m.Member(url)
}

// NameOf suggests a name for the source behind a URL: the file's, without its extension, or the host's, without its
// domain.
func NameOf(raw string) string {
	_, rest, _ := strings.Cut(raw, ":")
	base := filepath.Base(filepath.ToSlash(rest))
	if host, ok := hostOf(raw); ok {
		base = host
	}
	name, _, _ := strings.Cut(strings.TrimLeft(base, "."), ".")
	clean := strings.Map(func(r rune) rune {
		if strings.ContainsRune("_-=", r) || r < 128 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '-'
	}, name)
	if clean = strings.Trim(clean, "-_="); !config.ValidName(clean) {
		return "app"
	}
	return clean
}

// hostOf is the host in a URL of a server; an address, or a socket's folder, names nothing that people would know it by.
func hostOf(raw string) (string, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || !strings.Contains(raw, "://") {
		return "", false
	}
	if host := u.Hostname(); host != "" && net.ParseIP(host) == nil && host != "localhost" {
		return host, true
	}
	return u.Scheme, true
}
