package config

import (
	"maps"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/schedule"
)

// Promise is what a person is promised about a source and what is done to keep it. A class states it for many sources; what a
// source states itself goes before its class.
type Promise struct {
	RPO            Span                     `yaml:"rpo,omitempty" json:"rpo,omitempty" doc:"how much may be lost, as a time: what was committed longer ago than this must be durable"`
	RTO            Span                     `yaml:"rto,omitempty" json:"rto,omitempty" doc:"how long a restore may take, measured and forecast by drills"`
	Window         Span                     `yaml:"window,omitempty" json:"window,omitempty" doc:"how far back every moment must be recoverable, as in 30d; what is older may be forgotten, where keep does not hold it"`
	Repositories   []string                 `yaml:"repositories,omitempty" json:"repositories,omitempty" doc:"names of the repositories that its history goes to"`
	DurableIn      int                      `yaml:"durable_in,omitempty" json:"durable_in,omitempty" doc:"in how many repositories a piece of log must be before it counts as durable; 1 if not given"`
	Base           map[string]schedule.Expr `yaml:"base,omitempty" json:"base,omitempty" doc:"when bases are taken, by type: { full: daily }; see when"`
	BaseAfter      Size                     `yaml:"base_after,omitempty" json:"base_after,omitempty" doc:"a full base is also due once so much log came behind the newest, as in 10GiB; where there is an rto, also once a restore is forecast to take four fifths of it"`
	Keep           Keep                     `yaml:"keep,omitempty" json:"keep,omitzero" doc:"bases that are kept beyond the window"`
	Drill          Drill                    `yaml:"drill,omitempty" json:"drill,omitzero" doc:"when a restore is proved: an expression, or a group of keys"`
	Sentinel       string                   `yaml:"sentinel,omitempty" json:"sentinel,omitempty" doc:"on: a row is written into the source each second, in a table of its own, so that a drill says which second it recovered; off (the default): commit times say it" enum:"on,off"`
	CheckEvery     Span                     `yaml:"check_every,omitempty" json:"check_every,omitempty" doc:"every object is read and compared with its digest at least so often"`
	DeepCheckEvery Span                     `yaml:"deep_check_every,omitempty" json:"deep_check_every,omitempty" doc:"every object is decrypted and decoded at least so often; needs a key on this host"`
	Recipients     []string                 `yaml:"recipients,omitempty" json:"recipients,omitempty" doc:"names of those in recipients who can read new repositories of it; all of them if not given"`
	Hours          Hours                    `yaml:"hours,omitempty" json:"hours,omitzero" doc:"when heavy work is done"`
	Hooks          Hooks                    `yaml:"hooks,omitempty" json:"hooks,omitzero" doc:"what is done before and after a base, a restore and a drill"`
}

// Class is a promise that many sources share.
type Class struct {
	Promise `yaml:",inline"`
}

// Keep says which bases stay beyond the window: the newest of so many hours, days and so on. What any rule keeps is kept.
type Keep struct {
	Last    int    `yaml:"last,omitempty" json:"last,omitempty" doc:"the newest so many bases"`
	Daily   int    `yaml:"daily,omitempty" json:"daily,omitempty" doc:"the newest base of each of so many days"`
	Weekly  int    `yaml:"weekly,omitempty" json:"weekly,omitempty" doc:"the newest base of each of so many weeks"`
	Monthly int    `yaml:"monthly,omitempty" json:"monthly,omitempty" doc:"the newest base of each of so many months"`
	Yearly  int    `yaml:"yearly,omitempty" json:"yearly,omitempty" doc:"the newest base of each of so many years"`
	Minimum int    `yaml:"minimum,omitempty" json:"minimum,omitempty" doc:"never fewer bases than this, whatever the rules say; 2 if not given"`
	Zone    string `yaml:"zone,omitempty" json:"zone,omitempty" doc:"where days begin, as in Europe/Berlin; UTC if not given"`
	Move    Move   `yaml:"move,omitempty" json:"move,omitzero" doc:"what is old goes to a colder repository: { after: 60d, to: archive }"`
}

// Move says what goes to a colder repository, which gets nothing else of a source.
type Move struct {
	After Span   `yaml:"after" json:"after" doc:"bases that are older go there, with their log; the window or longer" required:"true"`
	To    string `yaml:"to" json:"to" doc:"name of the repository" required:"true"`
}

// IsZero reports whether nothing is moved.
func (m Move) IsZero() bool { return m == Move{} }

// Everywhere are the names of all repositories that hold something of a source: those that its history goes to, and the colder
// one that old history is moved to.
func (p Promise) Everywhere() []string {
	if to := p.Keep.Move.To; to != "" && !slices.Contains(p.Repositories, to) {
		return append(slices.Clone(p.Repositories), to)
	}
	return p.Repositories
}

// Hours are stretches of the day, as in "22:00-04:00 Europe/Berlin" or "mon-fri 08:00-18:00".
type Hours struct {
	Prefer schedule.Windows `yaml:"prefer,omitempty" json:"prefer,omitempty" doc:"heavy work without a time of its own is spread over these hours"`
	Forbid schedule.Windows `yaml:"forbid,omitempty" json:"forbid,omitempty" doc:"no heavy work begins in these hours"`
}

// IsZero reports whether no hours are named.
func (h Hours) IsZero() bool { return h.Prefer.IsZero() && h.Forbid.IsZero() }

// Hold keeps everything of a source for a time, whatever the rules say.
type Hold struct {
	Until  Date   `yaml:"until" json:"until" doc:"the last day on which nothing is forgotten" required:"true"`
	Reason string `yaml:"reason" json:"reason" doc:"why, for those who read it later" required:"true"`
	By     string `yaml:"by" json:"by" doc:"who asked for it" required:"true"`
}

// Exception silences findings of one objective for a time.
type Exception struct {
	Objective string `yaml:"objective" json:"objective" doc:"which promise is not kept for now" required:"true" enum:"rpo,rto,window,drill,check,deep-check,copies,coverage,spool,schedule"`
	Until     Date   `yaml:"until" json:"until" doc:"the last day on which it is silent" required:"true"`
	Reason    string `yaml:"reason" json:"reason" doc:"why" required:"true"`
	By        string `yaml:"by" json:"by" doc:"who approved it" required:"true"`
}

// Date is a day, as in 2026-12-24. It ends with the day, UTC.
type Date time.Time

// UnmarshalText reads what a person wrote.
func (d *Date) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.DateOnly, string(b))
	if err != nil {
		return &dateError{string(b)}
	}
	*d = Date(t)
	return nil
}

// MarshalText writes it as it is read.
func (d Date) MarshalText() ([]byte, error) { return []byte(time.Time(d).Format(time.DateOnly)), nil }

// End is the first moment behind it.
func (d Date) End() time.Time { return time.Time(d).AddDate(0, 0, 1) }

// IsZero reports whether none was given.
func (d Date) IsZero() bool { return time.Time(d).IsZero() }

type dateError struct{ text string }

func (e *dateError) Error() string {
	return "read day \"" + e.text + "\": want a year, a month and a day, as in 2026-12-24"
}

// DefaultMinimum is how many bases are never undercut where keep says nothing.
const DefaultMinimum = 2

// AtLeast is Minimum or its default.
func (k Keep) AtLeast() int { return first(k.Minimum, DefaultMinimum) }

// Sentinels reports whether a sentinel is to be written.
func (p Promise) Sentinels() bool { return p.Sentinel == switchOn }

// The words for something that is done or not.
const (
	switchOn  = "on"
	switchOff = "off"
)

// Copies is DurableIn or its default.
func (p Promise) Copies() int { return first(p.DurableIn, 1) }

// inherit gives each source the promises of its class.
func (c *Config) inherit() {
	for name, s := range c.Sources {
		s.Promise = over(s.Promise, c.Classes[s.Class].Promise)
		c.Sources[name] = s
	}
}

// over is own, with what is not given there taken from class.
func over(own, class Promise) Promise {
	own.RPO = first(own.RPO, class.RPO)
	own.RTO = first(own.RTO, class.RTO)
	own.Window = first(own.Window, class.Window)
	own.DurableIn = first(own.DurableIn, class.DurableIn)
	own.BaseAfter = first(own.BaseAfter, class.BaseAfter)
	own.Sentinel = first(own.Sentinel, class.Sentinel)
	own.CheckEvery = first(own.CheckEvery, class.CheckEvery)
	own.DeepCheckEvery = first(own.DeepCheckEvery, class.DeepCheckEvery)
	own.Keep = first(own.Keep, class.Keep)
	if len(own.Repositories) == 0 {
		own.Repositories = slices.Clone(class.Repositories)
	}
	if len(own.Recipients) == 0 {
		own.Recipients = slices.Clone(class.Recipients)
	}
	if len(own.Base) == 0 {
		own.Base = maps.Clone(class.Base)
	}
	if own.Hours.IsZero() {
		own.Hours = class.Hours
	}
	own.Hooks = own.Hooks.over(class.Hooks)
	if own.Drill.IsZero() {
		own.Drill = class.Drill
	}
	return own
}

func first[T comparable](own, class T) T {
	var zero T
	if own == zero {
		return class
	}
	return own
}

// ClassNames lists the classes in order.
func (c *Config) ClassNames() []string { return sorted(c.Classes) }
