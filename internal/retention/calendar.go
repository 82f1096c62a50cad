package retention

import (
	"fmt"
	"time"
)

// period is one rule of the calendar.
type period struct {
	count int
	word  string
	// name is that of the period in which a moment lies.
	name func(time.Time) string
	// back is a moment in the nth period before that of t.
	back func(t time.Time, n int) time.Time
}

// periods are the rules of the calendar that are set.
func (r Rules) periods() []period {
	all := []period{
		{r.Daily, "daily", func(t time.Time) string { return t.Format("2006-01-02") }, func(t time.Time, n int) time.Time { return noon(t).AddDate(0, 0, -n) }},
		{r.Weekly, "weekly", week, func(t time.Time, n int) time.Time { return noon(t).AddDate(0, 0, -7*n) }},
		{r.Monthly, "monthly", func(t time.Time) string { return t.Format("2006-01") }, func(t time.Time, n int) time.Time { return middle(t).AddDate(0, -n, 0) }},
		{r.Yearly, "yearly", func(t time.Time) string { return t.Format("2006") }, func(t time.Time, n int) time.Time { return middle(t).AddDate(-n, 0, 0) }},
	}
	var set []period
	for _, p := range all {
		if p.count > 0 {
			set = append(set, p)
		}
	}
	return set
}

// noon avoids the hours in which clocks change.
func noon(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 12, 0, 0, 0, t.Location())
}

// middle is a day that every month has.
func middle(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), 15, 12, 0, 0, 0, t.Location())
}

func week(t time.Time) string {
	year, n := t.ISOWeek()
	return fmt.Sprintf("%d-W%02d", year, n)
}

// since lists the names of the periods that count back from now.
func (p period) since(now time.Time) map[string]bool {
	names := map[string]bool{}
	for n := range p.count {
		names[p.name(p.back(now, n))] = true
	}
	return names
}
