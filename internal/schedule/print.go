package schedule

import (
	"fmt"
	"strings"
	"time"
)

// clock prints t for a sentence that is read at now: the time of day today, else the date too.
func clock(t, now time.Time) string {
	t = t.In(now.Location())
	layout := "15:04"
	if t.Second() != 0 {
		layout = "15:04:05"
	}
	if y, m, d := t.Date(); y != now.Year() || m != now.Month() || d != now.Day() {
		layout = "2006-01-02 " + layout
	}
	return t.Format(layout)
}

// length prints d without what is zero: 4h, 1h30m, 5s.
func length(d time.Duration) string {
	if d < time.Second {
		return d.String()
	}
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// by is who paused and why, for a sentence.
func (p *Pause) by() string {
	text := ""
	if p.By != "" {
		text += " by " + p.By
	}
	if p.Reason != "" {
		text += fmt.Sprintf(" (%s)", p.Reason)
	}
	return text
}
