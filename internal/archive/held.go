package archive

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

// watchEvery is how often a source that is not followed is asked how much log it keeps for us.
const watchEvery = time.Minute

// holdWatch looks after what a source keeps for us while nobody here takes it: a slot holds a server's log back,
// and a server whose disk is full stands still. Beyond Config.MaxHeld the slot is dropped. What the server then throws
// away is a gap and a new base, when there is room again.
type holdWatch struct {
	a    *Archive
	tick *time.Ticker
	told int                     // alarms given, in percent
	gone bool                    // the source was told to let go: until it is followed again nothing is kept
	give context.CancelCauseFunc // ends the session that uses the slot, which can't be dropped before; nil where there is none
}

func (a *Archive) watchHeld() *holdWatch { return &holdWatch{a: a, tick: time.NewTicker(watchEvery)} }

func (h *holdWatch) stop() {
	h.tick.Stop()
	h.forget()
}

// forget is for a source that is followed again.
func (h *holdWatch) forget() {
	h.told, h.gone = 0, false
	h.a.mu.Lock()
	defer h.a.mu.Unlock()
	h.a.unfollowed = engine.Status{}
}

// look asks once. A source that cannot be asked is asked again next time.
func (h *holdWatch) look(ctx context.Context) {
	if h.gone {
		return
	}
	ctx, end := context.WithTimeout(ctx, watchEvery)
	defer end()
	source, err := h.a.c.Connect(ctx)
	if err != nil {
		h.a.c.Log.Warn("ask what the source keeps for us", "source", h.a.c.Source, "err", err)
		return
	}
	defer func() {
		if err := source.Close(); err != nil {
			h.a.c.Log.Warn("close source", "source", h.a.c.Source, "err", err)
		}
	}()
	st := source.Status()
	h.a.mu.Lock()
	h.a.unfollowed = st
	h.a.mu.Unlock()
	r, ok := source.(engine.Remainer)
	if !ok || r.Remains() == "" {
		return
	}
	limit := h.a.c.MaxHeld
	if st.HeldBytes <= limit {
		h.tell(st.HeldBytes, limit)
		return
	}
	if h.give != nil {
		h.give(&heldError{st.HeldBytes, limit})
		return
	}
	if err := r.Remove(ctx); err != nil {
		h.a.emit(Event{Kind: HeldAlarm, Percent: 100, Err: err, Text: fmt.Sprintf(
			"the source keeps %d bytes of log for us, more than %d, and cannot be told to let go of it", st.HeldBytes, limit)})
		return
	}
	h.a.keeper.giveUp(errLetGo)
	h.gone = true
	h.a.mu.Lock()
	h.a.unfollowed, h.a.remains = engine.Status{}, ""
	h.a.mu.Unlock()
	h.a.emit(Event{Kind: HeldAlarm, Percent: 100, Text: fmt.Sprintf(
		"the source kept %d bytes of log for us, more than %d: it was told to let go of it; what is missing then is a gap, and a new base is taken when there is room", st.HeldBytes, limit)})
}

// tell gives an alarm at half of the limit and at four fifths, once each.
func (h *holdWatch) tell(held, limit int64) {
	for _, percent := range []int{80, 50} {
		if percent <= h.told || held < limit/100*int64(percent) {
			continue
		}
		h.told = percent
		h.a.emit(Event{Kind: HeldAlarm, Percent: percent, Text: fmt.Sprintf(
			"the source keeps %d bytes of log for us; beyond %d it is told to let go of it", held, limit)})
		return
	}
}
