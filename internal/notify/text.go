package notify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// text writes a message for people: what happened, since when, what to do, and where.
type text struct {
	m       Message
	zone    *time.Location
	opening string // of a summary, from the caller
}

const (
	fewBlocks  = 8    // blocks in a chat message
	manyBlocks = 60   // blocks in a mail
	fewNames   = 5    // sources named in a block of a chat message
	manyNames  = 100  // sources named in a block of a mail
	chatLength = 2800 // characters; Slack shows 3000, Telegram takes 4096
	together   = 4    // so many sources with the same trouble are one block
)

// block is one change, or several that differ in the source only.
type block []Change

// blocks returns the changes of a message as people read them.
func blocks(changes []Change) []block {
	type kind struct {
		ChangeKind
		Severity
		objective string
		one       string
	}
	of := func(c Change) kind {
		k := kind{ChangeKind: c.Kind, Severity: c.Severity, objective: c.Objective}
		if c.Source == "" {
			k.one = c.Fingerprint
		}
		return k
	}
	count := map[kind]int{}
	for _, c := range changes {
		count[of(c)]++
	}
	var out []block
	at := map[kind]int{}
	for _, c := range changes {
		k := of(c)
		if i, ok := at[k]; ok && count[k] >= together {
			out[i] = append(out[i], c)
			continue
		}
		at[k] = len(out)
		out = append(out, block{c})
	}
	return out
}

// subject is the message in a line.
func (t text) subject() string {
	head := "[backstay " + t.m.Host + "] "
	list := t.m.Changes
	switch {
	case t.m.Kind == Test:
		return head + "test message"
	case t.m.Kind == Summary && len(list) == 0:
		return head + "daily summary: nothing is open"
	case t.m.Kind == Summary:
		return head + "daily summary: " + tally(list)
	case len(list) == 1:
		return line(head+title(list[0]), 160)
	case len(blocks(list)) == 1:
		return line(fmt.Sprintf("%s%s: %s of %d sources", head, word(list[0]), list[0].Objective, len(list)), 160)
	}
	return head + tally(list)
}

// tally counts changes: "2 critical, 1 warning, 4 ended".
func tally(changes []Change) string {
	counts := map[string]int{}
	for _, c := range changes {
		name := c.Severity.String()
		if c.over() {
			name = "ended"
		}
		counts[name]++
	}
	var parts []string
	for _, name := range []string{"critical", "warning", "info", "ended"} {
		if counts[name] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[name], name))
		}
	}
	return strings.Join(parts, ", ")
}

// chat is the message in a few lines.
func (t text) chat() string {
	var b strings.Builder
	t.open(&b)
	all := blocks(t.m.Changes)
	for i, list := range all {
		part := t.short(list)
		if b.Len() > 0 {
			part = "\n" + part
		}
		if i == fewBlocks || b.Len()+len(part) > chatLength-200 {
			fmt.Fprintf(&b, "\nand more: %s\n", tally(slices.Concat(all[i:]...)))
			break
		}
		b.WriteString(part)
	}
	if len(all) > 1 {
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "host %s, %s", t.m.Host, t.time(t.m.At))
	return cut(b.String(), chatLength)
}

// mail is all of the message.
func (t text) mail() string {
	var b strings.Builder
	t.open(&b)
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	all := blocks(t.m.Changes)
	for i, list := range all {
		if i == manyBlocks {
			fmt.Fprintf(&b, "And more: %s.\n\n", tally(slices.Concat(all[i:]...)))
			break
		}
		b.WriteString(t.long(list))
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "Told by Backstay on %s at %s, message %s.\n", t.m.Host, t.time(t.m.At), t.m.ID)
	return b.String()
}

// open writes what stands before all changes.
func (t text) open(b *strings.Builder) {
	switch {
	case t.m.Kind == Test:
		b.WriteString("This is a test: messages of Backstay arrive here. Nothing is wrong.\n")
		return
	case t.m.Kind == Summary && len(t.m.Changes) == 0:
		b.WriteString("Daily summary: nothing is open.\n")
	case t.m.Kind == Summary:
		fmt.Fprintf(b, "Daily summary: %s still open.\n", tally(t.m.Changes))
	case slices.ContainsFunc(t.m.Changes, func(c Change) bool { return c.Held }):
		b.WriteString("The quiet hours are over. Meanwhile:\n")
	}
	if t.opening != "" {
		b.WriteString(t.opening + "\n")
	}
}

// short writes a block for a chat.
func (t text) short(list block) string {
	c := list[0]
	var b strings.Builder
	if len(list) == 1 {
		b.WriteString(title(c) + "\n")
	} else {
		fmt.Fprintf(&b, "%s: %s of %d sources: %s\n%s\n", word(c), c.Objective, len(list), names(list, fewNames), "for "+c.Source+": "+reason(c))
	}
	fmt.Fprintf(&b, "%s%s\n", t.when(list), aside(c))
	if c.Do != "" && !c.over() {
		b.WriteString("do: " + c.Do + "\n")
	}
	return b.String()
}

// long writes a block for a mail.
func (t text) long(list block) string {
	c := list[0]
	var b strings.Builder
	what := c.Objective
	if c.Source != "" {
		what += " of " + c.Source
	}
	if len(list) > 1 {
		what = fmt.Sprintf("%s of %d sources: %s", c.Objective, len(list), names(list, manyNames))
	}
	fmt.Fprintf(&b, "%s: %s\n", strings.ToUpper(word(c)), what)
	what = reason(c)
	if len(list) > 1 {
		what = "for " + c.Source + ": " + what
	}
	fmt.Fprintf(&b, "  What:   %s\n", what)
	fmt.Fprintf(&b, "  When:   %s%s\n", t.when(list), aside(c))
	if c.Do != "" && !c.over() {
		fmt.Fprintf(&b, "  Do:     %s\n", c.Do)
	}
	fmt.Fprintf(&b, "  Where:  %s\n", c.Host)
	return b.String()
}

// title is one change in a line: "critical: orders (rpo): 12s of commits are not durable".
func title(c Change) string {
	what := c.Objective
	if c.Source != "" {
		what = fmt.Sprintf("%s (%s)", c.Source, c.Objective)
	}
	return fmt.Sprintf("%s: %s: %s", word(c), what, reason(c))
}

// reason says what is so, or was.
func reason(c Change) string {
	if c.over() {
		return "it was: " + c.Reason
	}
	return c.Reason
}

// word says how bad it is, or that it is over.
func word(c Change) string {
	switch c.Kind {
	case Rose:
		return fmt.Sprintf("now %s, was %s", c.Severity, c.Was)
	case Lasts:
		return "still " + c.Severity.String()
	case Ended:
		return "ended"
	case Passed:
		return "came and went"
	case Began, Happened:
	}
	return c.Severity.String()
}

// when says since when, until when, or at what time.
func (t text) when(list block) string {
	first := slices.MinFunc(list, func(a, b Change) int { return a.Since.Compare(b.Since) })
	last := slices.MaxFunc(list, func(a, b Change) int { return a.Ended.Compare(b.Ended) })
	switch {
	case first.Kind == Happened:
		return "at " + t.time(first.Since)
	case first.over():
		return fmt.Sprintf("from %s to %s (%s)", t.time(first.Since), t.time(last.Ended), about(last.Ended.Sub(first.Since)))
	}
	since := "since " + t.time(first.Since)
	if d := t.m.At.Sub(first.Since); d >= time.Second {
		since += fmt.Sprintf(" (%s)", about(d))
	}
	return since
}

// aside is what else to know of a change.
func aside(c Change) string {
	var b strings.Builder
	if c.Flapping > 0 && !c.over() {
		fmt.Fprintf(&b, "; it comes and goes, %d times by now: you hear of it once a day until it has been away for %s", c.Flapping, about(settled))
	}
	if c.Flapping > 0 && c.over() {
		fmt.Fprintf(&b, "; it came and went %d times, and has been away for %s", c.Flapping, about(settled))
	}
	if c.Escalated {
		b.WriteString("; others were told and nobody ended or acknowledged it")
	}
	if c.Known != "" && !c.over() {
		b.WriteString("; acknowledged by " + c.Known)
	}
	return b.String()
}

// names lists the sources of list, at most limit.
func names(list block, limit int) string {
	var all []string
	for _, c := range list {
		all = append(all, c.Source)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) <= limit {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:limit], ", "), len(all)-limit)
}

func (t text) time(at time.Time) string {
	return at.In(cmp.Or(t.zone, time.UTC)).Format("2006-01-02 15:04:05 MST")
}

// about rounds d to what a person says: 42s, 5m, 3h20m, 12d.
func about(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		hours, minutes := int(d.Hours()), int(d.Minutes())%60
		if minutes == 0 {
			return fmt.Sprintf("%dh", hours)
		}
		return fmt.Sprintf("%dh%dm", hours, minutes)
	}
	return fmt.Sprintf("%dd", int(d/day))
}
