package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
)

// cronRule is five cron fields. The library computes wall times only, in UTC: its own handling of zones runs a job twice in
// autumn.
type cronRule struct {
	fields *cron.SpecSchedule
	paced  bool // every hour: see Expr
}

// searchYears reaches the rarest day that fields can name: a 29 February on a given weekday, 40 years apart around 2100.
const searchYears = 41

var cronParser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowNth | cron.DowLast | cron.DomL).
	WithMaxSearchYears(searchYears)

// isCron reports whether the fields of a text are meant as cron's: the first is a number or a star.
func isCron(fields []string) bool {
	return strings.ContainsRune("0123456789*@", rune(fields[0][0])) || strings.Contains(fields[0], "=")
}

// parseCron reads the first five of fields.
func parseCron(fields []string) (rule, int, error) {
	const count = 5
	switch {
	case fields[0][0] == '@':
		return nil, 0, fmt.Errorf("%s is another program's: write it without @", quote(fields[0]))
	case strings.Contains(fields[0], "="):
		return nil, 0, errors.New("a zone stands at the end, without =")
	case len(fields) < count:
		return nil, 0, fmt.Errorf("cron has 5 fields (minute hour day-of-month month day-of-week), here are %d", len(fields))
	case len(fields) > count && isCron(fields[count:]):
		return nil, 0, errors.New("cron has 5 fields (minute hour day-of-month month day-of-week), here are 6: seconds cannot be set")
	}
	for _, f := range fields[:count] {
		if strings.HasPrefix(f, ",") || strings.HasSuffix(f, ",") || strings.Contains(f, ",,") {
			return nil, 0, fmt.Errorf("field %s has an empty item", quote(f))
		}
	}
	if dom, dow := fields[2], fields[4]; restricts(dom) && restricts(dow) {
		// Crontabs run when either holds, the library when both do: whoever wrote it meant one of the two.
		return nil, 0, errors.New("day of month and day of week are both given, which some programs read as either and some as both: " +
			"give one (sun#1 is the first Sunday of the month, fri#L the last Friday)")
	}
	parsed, err := cronParser.Parse(strings.ToUpper(strings.Join(fields[:count], " ")))
	if err != nil {
		return nil, 0, err
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, 0, errors.New("these are no cron fields")
	}
	spec.Location = time.UTC
	const day = 1<<24 - 1
	r := &cronRule{fields: spec, paced: spec.Hour&day == day}
	if r.next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, 0, errors.New("such a day never comes")
	}
	return r, count, nil
}

func restricts(field string) bool { return field != "*" && field != "?" }

func (r *cronRule) next(wall time.Time) time.Time { return r.fields.Next(wall) }

func (r *cronRule) after(t time.Time, zone *time.Location, _ spread) time.Time {
	if r.paced {
		return paced(t, zone, r.next)
	}
	return fixed(t, zone, r.next)
}
