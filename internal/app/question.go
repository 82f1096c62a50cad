package app

import (
	"net/url"
	"strings"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
)

// questions are checks of a source as a drill takes them; nil means those of the file.
func (h *Host) questions(source string, checks []config.Check) []drill.Question {
	s := h.Config.Sources[source]
	if checks == nil {
		checks = s.Drill.Checks
	}
	var all []drill.Question
	for _, c := range checks {
		q := drill.Question{Name: c.Name, SQL: c.SQL, Expect: c.Expect, Command: c.Command, Database: c.Database, Limit: c.Limit()}
		if q.Database == "" {
			q.Database = databaseIn(s.URL)
		}
		all = append(all, q)
	}
	return all
}

// databaseIn is the database that the URL of a PostgreSQL server names; "" for none.
func databaseIn(source string) string {
	u, err := url.Parse(source)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return ""
	}
	return strings.Trim(u.Path, "/")
}
