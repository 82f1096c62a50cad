package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

// Question is what the owner of the data wants asked of it: a query, or a command.
type Question struct {
	Name     string        // "" for the question itself
	SQL      string        // one that gives one value
	Expect   string        // that value as text; "": anything but an error, no row, NULL, 0 and false
	Command  []string      // instead of SQL; 0 is its good exit code
	Database string        // of a server; "" means the one that is plainly meant
	Limit    time.Duration // for how long it may take; zero means ten minutes
}

// Limits of what a report holds of an answer, bytes and lines.
const (
	maxName    = 200
	maxGot     = 500
	maxOutput  = 4 << 10
	outputRows = 20
)

const defaultLimit = 10 * time.Minute

func (q Question) limit() time.Duration {
	if q.Limit > 0 {
		return q.Limit
	}
	return defaultLimit
}

// title names the question in the report.
func (q Question) title() string {
	switch {
	case q.Name != "":
		return q.Name
	case q.SQL != "":
		return short(masked(strings.Join(strings.Fields(q.SQL), " ")), maxName)
	default:
		return short(masked(strings.Join(q.Command, " ")), maxName)
	}
}

// questions puts the owner's questions to a server that passed the engine's own: queries first, as commands may change the data.
// An error is ctx's.
func (d *drill) questions(ctx context.Context, server engine.Server, scratch string) error {
	for _, command := range []bool{false, true} {
		for _, q := range d.config.Questions {
			if (len(q.Command) > 0) != command {
				continue
			}
			check, err := d.question(ctx, server, scratch, q)
			if err != nil {
				return err
			}
			d.report.Checks = append(d.report.Checks, check)
		}
	}
	return nil
}

func (d *drill) question(ctx context.Context, server engine.Server, scratch string, q Question) (Check, error) {
	limited, cancel := context.WithTimeoutCause(ctx, q.limit(), errTooLong)
	defer cancel()
	begin := time.Now()
	c := Check{Name: q.title(), Owner: true, Want: q.Expect}
	asker, ok := server.(engine.Asker)
	var err error
	switch {
	case !ok:
		err = fmt.Errorf("the engine %s answers no questions of owners", d.report.Engine)
	case len(q.Command) > 0:
		err = d.command(limited, asker, scratch, q, &c)
	default:
		err = query(limited, asker, q, &c)
	}
	if ctx.Err() != nil {
		return Check{}, context.Cause(ctx)
	}
	if limited.Err() != nil && !c.OK {
		err = fmt.Errorf("it took longer than %s", q.limit())
	}
	if err != nil {
		c.Unasked = short(masked(err.Error()), maxGot)
		c.Detail = "could not be asked: " + c.Unasked
	}
	c.Seconds = time.Since(begin).Seconds()
	return c, nil
}

// errTooLong is the cause of a question's end at its limit.
var errTooLong = errors.New("it took too long")

// query has a query answered and judges the answer. An error is the environment's.
func query(ctx context.Context, server engine.Asker, q Question, c *Check) error {
	a, err := server.Ask(ctx, q.Database, q.SQL)
	if refused, ok := errors.AsType[*engine.QueryError](err); ok {
		c.Got = "error: " + short(masked(refused.Text), maxGot)
		c.Detail = "the server refuses the query: " + c.Got
		return nil
	}
	if err != nil {
		return err
	}
	c.Got = got(a)
	want := q.Expect
	if want == "" {
		want = "any value but NULL, 0 and false"
	}
	if c.OK = q.accepts(a); c.OK {
		c.Detail = "gives " + c.Got
	} else {
		c.Detail = fmt.Sprintf("gives %s, want %s", c.Got, want)
	}
	return nil
}

// accepts reports whether an answer is the one that the owner wants.
func (q Question) accepts(a engine.Answer) bool {
	if a.Rows != 1 || a.Columns != 1 || a.Null {
		return false
	}
	if q.Expect != "" {
		return a.Value == q.Expect
	}
	return !slices.Contains([]string{"", "0", "0.0", "false"}, a.Value)
}

// got is an answer in words.
func got(a engine.Answer) string {
	switch {
	case a.Columns > 1:
		return fmt.Sprintf("%d columns", a.Columns)
	case a.Rows == 0:
		return "no row"
	case a.Rows > 1:
		return "more than one row"
	case a.Null:
		return "NULL"
	}
	return short(a.Value, maxGot)
}

// short is the beginning of a text that is too long for a report, in whole characters.
func short(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
