package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"
)

// Drill is what is kept of one drill report: enough to judge its age and to forecast restore times. The report itself lies
// in the repository.
type Drill struct {
	Ref
	Report  string    `json:"report"` // its ID
	Host    string    `json:"host,omitempty"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Verdict string    `json:"verdict"` // package drill's
	Reason  string    `json:"reason,omitempty"`
	Asked   string    `json:"asked,omitempty"`  // the target
	Target  string    `json:"target,omitempty"` // what it came to
	Base    string    `json:"base,omitempty"`

	Segments   int   `json:"segments"`
	LaidBytes  int64 `json:"laid_bytes"`
	LogBytes   int64 `json:"log_bytes"`
	FetchBytes int64 `json:"fetch_bytes"`

	FetchSeconds  float64 `json:"fetch_seconds"`
	LaySeconds    float64 `json:"lay_seconds"`
	ReplaySeconds float64 `json:"replay_seconds"`
	StartSeconds  float64 `json:"start_seconds"`
	VerifySeconds float64 `json:"verify_seconds"`
	DrillSeconds  float64 `json:"drill_seconds"`
}

// Drilled writes drills down. One that is known is replaced.
func (c *Catalog) Drilled(ctx context.Context, drills ...Drill) error {
	return c.update(ctx, "record drill", func(tx *sql.Tx) error {
		for _, d := range drills {
			body, err := json.Marshal(d)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO drill (source, repository, report, began, verdict, body) VALUES (?, ?, ?, ?, ?, ?)",
				d.Source, d.Repository, d.Report, stamp(d.Began), d.Verdict, string(body)); err != nil {
				return err
			}
		}
		return nil
	})
}

// DrillFilter says which drills. The zero DrillFilter takes the newest 100.
type DrillFilter struct {
	Source     string
	Repository string
	Verdict    string
	Last       int // at most so many; 0: 100
}

// Drills returns drills, the newest first.
func (c *Catalog) Drills(ctx context.Context, f DrillFilter) ([]Drill, error) {
	where, args := "1", []any{}
	and := func(clause, value string) {
		if value != "" {
			where, args = where+" AND "+clause, append(args, value)
		}
	}
	and("source = ?", f.Source)
	and("repository = ?", f.Repository)
	and("verdict = ?", f.Verdict)
	if f.Last <= 0 {
		f.Last = 100
	}
	var list []Drill
	err := c.query(ctx, "read drills", func(scan func(...any) error) error {
		d, err := scanDrill(scan)
		list = append(list, d)
		return err
	}, "SELECT body FROM drill WHERE "+where+" ORDER BY began DESC, report DESC LIMIT ?", append(args, f.Last)...)
	return list, err
}

func scanDrill(scan func(...any) error) (Drill, error) {
	var d Drill
	var body string
	if err := scan(&body); err != nil {
		return d, err
	}
	return d, json.Unmarshal([]byte(body), &d)
}

// knownReports are the reports of a holding that are in the catalog.
func (c *Catalog) knownReports(ctx context.Context, ref Ref) (map[string]bool, error) {
	known := map[string]bool{}
	err := c.query(ctx, "read drills", func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		known[id] = true
		return err
	}, "SELECT report FROM drill WHERE source = ? AND repository = ?", ref.Source, ref.Repository)
	return known, err
}
