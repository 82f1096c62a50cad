package policy

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Timing is what a drill measured. Bytes are plain.
type Timing struct {
	LaidBytes     int64   `json:"laid_bytes"`
	LogBytes      int64   `json:"log_bytes"`
	LaySeconds    float64 `json:"lay_seconds"`    // reading, opening and writing the base
	FetchSeconds  float64 `json:"fetch_seconds"`  // of the log
	ReplaySeconds float64 `json:"replay_seconds"` // of the log
	StartSeconds  float64 `json:"start_seconds"`  // until the server answered
}

// seconds is how long the server was away.
func (t Timing) seconds() float64 {
	return t.LaySeconds + t.FetchSeconds + t.ReplaySeconds + t.StartSeconds
}

// Forecast says how long a restore to the newest moment would take.
type Forecast struct {
	Expected time.Duration `json:"expected"`
	Low      time.Duration `json:"low"` // as drills were off from what the others foretold
	High     time.Duration `json:"high"`

	Lay    time.Duration `json:"lay"` // parts of Expected
	Fetch  time.Duration `json:"fetch"`
	Replay time.Duration `json:"replay"`
	Start  time.Duration `json:"start"`

	Drills  int       `json:"drills"` // that it rests on
	Newest  time.Time `json:"newest"` // of them
	Guessed bool      `json:"guessed"`

	// Growth is by how much Expected grows in a second: the log since the base grows.
	Growth float64 `json:"growth"`
}

// What is assumed where nothing was measured: a small server with one disk, and a store at 1 Gbit/s.
const (
	guessedLay    = 100 << 20 // bytes a second
	guessedFetch  = 100 << 20
	guessedReplay = 25 << 20
	guessedStart  = 10 // seconds
)

const (
	modelDrills = 10      // the newest so many count
	leastTime   = 0.01    // shorter times are noise, seconds
	leastBytes  = 8 << 20 // in less than that waiting prevails, and it says nothing of how fast more would go
	guessFactor = 3.0     // how far off a guess may be
	oneFactor   = 1.5     // the same for a single drill
	someFactor  = 1.1     // and for several that agree
	farFactor   = 0.25    // for each doubling beyond what was drilled
)

// model is what drills say of a restore.
type model struct {
	lay, fetch, replay cost
	start              float64 // seconds, the median; with the time for what was too little to say how fast it goes
	laid, log          int64   // the most that was drilled
	drills             int
}

func modelOf(drills []DrillRun) model {
	m := model{drills: len(drills)}
	var starts []float64
	for _, d := range drills {
		t, start := d.Timing, d.Timing.StartSeconds
		if t.LaidBytes >= leastBytes {
			m.lay.add(t.LaidBytes, t.LaySeconds)
		} else {
			start += t.LaySeconds
		}
		if t.LogBytes >= leastBytes {
			m.fetch.add(t.LogBytes, t.FetchSeconds)
			m.replay.add(t.LogBytes, t.ReplaySeconds)
		} else {
			start += t.FetchSeconds + t.ReplaySeconds
		}
		starts = append(starts, start)
		m.laid, m.log = max(m.laid, t.LaidBytes), max(m.log, t.LogBytes)
	}
	if slices.Sort(starts); len(starts) > 0 {
		m.start = starts[len(starts)/2]
	}
	return m
}

// cost sums up bytes and seconds, so that large drills count for more than small ones, in which waiting prevails.
type cost struct {
	bytes   int64
	seconds float64
}

func (c *cost) add(bytes int64, seconds float64) {
	c.bytes += bytes
	c.seconds += seconds
}

// of says how many seconds so many bytes take, at guess bytes a second if it was not measured.
func (c cost) of(bytes, guess float64) (seconds float64, guessed bool) {
	if c.bytes == 0 {
		return bytes / guess, bytes >= leastBytes
	}
	return bytes * c.seconds / float64(c.bytes), false
}

// foretell says how long a restore of so many bytes takes.
func (m model) foretell(lay, log int64) (f Forecast) {
	part := func(bytes int64, c cost, guess float64) time.Duration {
		s, guessed := c.of(float64(max(0, bytes)), guess)
		f.Guessed = f.Guessed || guessed
		return seconds(s)
	}
	f.Lay = part(lay, m.lay, guessedLay)
	f.Fetch = part(log, m.fetch, guessedFetch)
	f.Replay = part(log, m.replay, guessedReplay)
	f.Start = seconds(m.start)
	if m.drills == 0 {
		f.Start, f.Guessed = guessedStart*time.Second, true
	}
	f.Expected = f.Lay + f.Fetch + f.Replay + f.Start
	return f
}

// longestForecast is what a forecast says at most; the sum of its parts is still a duration.
const longestForecast = math.MaxInt64 / 8

// seconds makes a duration of a number that may be out of its range.
func seconds(s float64) time.Duration {
	if math.IsNaN(s) || s >= time.Duration(longestForecast).Seconds() {
		return longestForecast
	}
	return time.Duration(s * float64(time.Second))
}

// NewForecast makes a model of the newest drills that proved a restore, and says what it foretells for r.
func NewForecast(drills []DrillRun, r Restore) Forecast {
	var used []DrillRun
	for _, d := range drills {
		if d.Verdict == Proved {
			used = append(used, d)
		}
	}
	slices.SortStableFunc(used, func(a, b DrillRun) int { return b.Time.Compare(a.Time) })
	used = used[:min(len(used), modelDrills)]
	m := modelOf(used)
	f := m.foretell(r.LayBytes, r.LogBytes)
	if f.Drills = len(used); f.Drills > 0 {
		f.Newest = used[0].Time
	}
	low, high := spread(used, f.Guessed)
	high *= 1 + farFactor*(doublings(r.LayBytes, m.laid)+doublings(r.LogBytes, m.log))
	f.Low = min(f.Expected, seconds(f.Expected.Seconds()*low))
	f.High = max(f.Expected, seconds(f.Expected.Seconds()*high))
	f.Growth = growth(m, r.LogRate)
	return f
}

// growth is how many seconds a restore grows by in a second.
func growth(m model, logRate float64) float64 {
	fetch, _ := m.fetch.of(max(0, logRate), guessedFetch)
	replay, _ := m.replay.of(max(0, logRate), guessedReplay)
	return fetch + replay
}

// spread says by which factors drills were off from what the others foretold of them.
func spread(drills []DrillRun, guessed bool) (low, high float64) {
	factor := someFactor
	switch {
	case guessed:
		factor = guessFactor
	case len(drills) == 1:
		factor = oneFactor
	}
	low, high = 1/factor, factor
	for i, d := range drills {
		others := modelOf(slices.Delete(slices.Clone(drills), i, i+1))
		foretold := others.foretell(d.Timing.LaidBytes, d.Timing.LogBytes)
		if foretold.Guessed || foretold.Expected.Seconds() < leastTime {
			continue
		}
		off := d.Timing.seconds() / foretold.Expected.Seconds()
		low, high = min(low, off), max(high, off)
	}
	return low, high
}

// doublings is how often n must be halved to be no more than most; nothing was drilled counts as nothing to compare with.
func doublings(n, most int64) float64 {
	if most <= 0 || n <= most {
		return 0
	}
	return math.Log2(float64(n) / float64(most))
}

// Breaks says when the restore takes longer than limit if no base is taken; ok is false if it never does.
func (f Forecast) Breaks(limit time.Duration, now time.Time) (at time.Time, ok bool) {
	if f.Expected > limit {
		return now, true
	}
	if f.Growth <= 0 {
		return time.Time{}, false
	}
	const decade = 10 * 365 * 24 * time.Hour
	left := (limit - f.Expected).Seconds() / f.Growth
	if left > decade.Seconds() {
		return time.Time{}, false
	}
	return now.Add(seconds(left)), true
}

// String says it in words, with how sure it is.
func (f Forecast) String() string {
	s := fmt.Sprintf("%s (between %s and %s", span(f.Expected), span(f.Low), span(f.High))
	switch {
	case f.Drills == 0:
		return s + "; guessed: no drill has measured it)"
	case f.Guessed:
		return s + fmt.Sprintf("; partly guessed: %s did not measure all of it)", plural(f.Drills, "drill", "drills"))
	}
	return s + fmt.Sprintf("; from %s)", plural(f.Drills, "drill", "drills"))
}
